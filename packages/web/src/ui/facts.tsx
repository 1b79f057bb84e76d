import type { ReactNode } from "react";

/** Names and values in two columns. */
export function Facts({ facts }: { facts: readonly (readonly [name: string, value: ReactNode] | false | undefined)[] }) {
  return (
    <dl className="grid grid-cols-[fit-content(45%)_minmax(0,1fr)] gap-x-4 gap-y-1.5">
      {facts.map((fact) =>
        fact === false || fact === undefined ? null : (
          <div key={fact[0]} className="contents">
            <dt className="min-w-26 wrap-anywhere text-soft">{fact[0]}</dt>
            <dd className="nums min-w-0 wrap-anywhere">{fact[1]}</dd>
          </div>
        ),
      )}
    </dl>
  );
}

/** One number that matters, with its name. */
export function Stat({ name, value, note }: { name: string; value: ReactNode; note?: ReactNode }) {
  return (
    <div className="min-w-0 rounded-lg border border-line bg-surface px-4 py-3">
      <div className="text-xs text-soft">{name}</div>
      <div className="nums truncate text-xl font-semibold tracking-tight [&_a]:font-semibold">{value}</div>
      <div className="min-h-4 text-xs wrap-anywhere text-soft">{note}</div>
    </div>
  );
}
