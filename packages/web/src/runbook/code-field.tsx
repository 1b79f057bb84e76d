// A text of lines with their numbers beside it, for what errors name by line. The browser's own text area: Tab leaves it, as everywhere else.
import { type Ref, type UIEvent, useState } from "react";

interface Props {
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
  /** The line that something is wrong with, from 1. */
  readonly wrongLine: number | undefined;
  readonly describedBy: string | undefined;
  readonly ref: Ref<HTMLTextAreaElement>;
}

/** Of the lines below, in px. */
export const lineHeight = 20;

export function CodeField({ label, value, onChange, wrongLine, describedBy, ref }: Props) {
  const [scrolled, setScrolled] = useState(0);
  return (
    <div className="flex h-[min(30rem,55dvh)] overflow-hidden rounded-md border border-line bg-ground font-mono text-xs focus-within:outline-2 focus-within:outline-offset-2 focus-within:outline-accent">
      <div aria-hidden="true" className="nums w-10 shrink-0 overflow-hidden border-r border-line py-2 text-right text-soft select-none">
        <div style={{ transform: `translateY(${-scrolled}px)` }}>
          {value.split("\n").map((_line, i) => (
            <div
              // biome-ignore lint/suspicious/noArrayIndexKey: a line is its number
              key={i}
              className={`h-5 pr-2 leading-5 ${i + 1 === wrongLine ? "bg-bad-ground font-semibold text-bad" : ""}`}
            >
              {i + 1}
            </div>
          ))}
        </div>
      </div>
      <textarea
        ref={ref}
        aria-label={label}
        aria-invalid={wrongLine !== undefined}
        aria-describedby={describedBy}
        wrap="off"
        spellCheck={false}
        autoCapitalize="off"
        autoComplete="off"
        value={value}
        onChange={(event) => onChange(event.target.value)}
        onScroll={(event: UIEvent<HTMLTextAreaElement>) => setScrolled(event.currentTarget.scrollTop)}
        className="min-w-0 flex-1 resize-none bg-transparent px-3 py-2 leading-5 text-text outline-none"
      />
    </div>
  );
}
