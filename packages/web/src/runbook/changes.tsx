import { diffLines, withContext } from "./diff.ts";

const marks = { same: " ", gone: "−", new: "+" } as const;
const looks = { same: "text-soft", gone: "bg-bad-ground text-bad", new: "bg-good-ground text-good" } as const;
const said = { same: undefined, gone: "removed", new: "added" } as const;

/** What a text has become, line by line. */
export function Changes({ before, after }: { before: string; after: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard (WCAG 2.1.1)
    <section aria-label="Changed lines" tabIndex={0} className="max-h-60 overflow-auto rounded-md border border-line font-mono text-xs">
      {withContext(diffLines(before.trimEnd(), after.trimEnd()), 2).map((line, i) =>
        typeof line === "number" ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: lines do not move
          <div key={i} className="bg-raised px-2 text-soft">
            ⋯
          </div>
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: lines do not move
          <div key={i} className={`flex w-max min-w-full gap-2 px-2 leading-5 whitespace-pre ${looks[line.is]}`}>
            <span aria-hidden="true">{marks[line.is]}</span>
            {said[line.is] !== undefined && <span className="sr-only">{said[line.is]}: </span>}
            {line.text === "" ? " " : line.text}
          </div>
        ),
      )}
    </section>
  );
}
