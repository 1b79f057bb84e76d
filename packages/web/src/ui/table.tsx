import type { ReactNode, TdHTMLAttributes } from "react";

interface Props {
  readonly head: readonly ReactNode[];
  readonly children: ReactNode;
  readonly label: string;
  /** Columns, from 0, that a telephone has no room for: their cells are `wideOnly` too, and what they say stands below the first. */
  readonly wide?: readonly number[];
}

/** A plain table that scrolls sideways inside itself on a narrow screen. */
export function Table({ head, children, label, wide = [] }: Props) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard (WCAG 2.1.1)
    <section className="@container overflow-x-auto" aria-label={label} tabIndex={0}>
      <table className="w-full border-collapse text-left">
        <thead>
          <tr className="text-xs text-soft">
            {head.map((cell, i) => (
              <th
                // biome-ignore lint/suspicious/noArrayIndexKey: columns do not move
                key={i}
                scope="col"
                className={`h-8 ${space} font-medium whitespace-nowrap ${wide.includes(i) ? wideOnly : ""}`}
              >
                {cell}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </section>
  );
}

/** Between columns; a table begins and ends where its panel's title does. */
const space = "px-2.5 first:pl-4 last:pr-4 sm:px-4";

export const wideOnly = "hidden sm:table-cell";

export const Row = ({ children }: { children: ReactNode }) => <tr className="border-t border-line hover:bg-raised/50">{children}</tr>;

export const Cell = ({ className = "", ...rest }: TdHTMLAttributes<HTMLTableCellElement>) => (
  <td className={`h-9 ${space} py-1.5 align-middle ${className}`} {...rest} />
);
