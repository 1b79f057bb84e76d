import type { ReactNode, TdHTMLAttributes } from "react";

/** A plain table that scrolls sideways inside itself on a narrow screen. */
export function Table({ head, children, label }: { head: readonly ReactNode[]; children: ReactNode; label: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard (WCAG 2.1.1)
    <section className="overflow-x-auto" aria-label={label} tabIndex={0}>
      <table className="w-full border-collapse text-left">
        <thead>
          <tr className="text-xs text-soft">
            {head.map((cell, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: columns do not move
              <th key={i} scope="col" className="h-8 px-4 font-medium whitespace-nowrap">
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

export const Row = ({ children }: { children: ReactNode }) => <tr className="border-t border-line hover:bg-raised/50">{children}</tr>;

export const Cell = ({ className = "", ...rest }: TdHTMLAttributes<HTMLTableCellElement>) => (
  <td className={`h-9 px-4 py-1.5 align-middle ${className}`} {...rest} />
);
