import { type ReactNode, useId } from "react";

interface Props {
  readonly title: ReactNode;
  readonly aside?: ReactNode;
  readonly children: ReactNode;
  /** Without space around the content: for tables and graphs. */
  readonly isFlush?: boolean;
  readonly className?: string;
}

export function Panel({ title, aside, children, isFlush = false, className = "" }: Props) {
  const id = useId();
  return (
    <section aria-labelledby={id} className={`min-w-0 rounded-lg border border-line bg-surface ${className}`}>
      <header className="flex min-h-11 flex-wrap items-center gap-x-3 gap-y-1 px-4 py-1.5">
        <h2 id={id} className="text-sm font-semibold">
          {title}
        </h2>
        {aside !== undefined && <div className="ml-auto flex flex-wrap items-center gap-2 text-soft">{aside}</div>}
      </header>
      <div className={isFlush ? "border-t border-line" : "px-4 pb-4"}>{children}</div>
    </section>
  );
}
