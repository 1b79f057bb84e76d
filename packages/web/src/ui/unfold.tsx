// A row of a table with more to it, which a button in its first cell shows below it. Which one is open is in the address, so that a link can show it.
import { useNavigate, useSearch } from "@tanstack/react-router";
import { type ReactNode, useId } from "react";

/** Answers which row is open, and what opens or closes one. */
export function useUnfolded(): readonly [open: string | undefined, toggle: (id: string) => void] {
  const { open } = useSearch({ strict: false });
  const navigate = useNavigate();
  const toggle = (id: string) =>
    void navigate({
      to: ".",
      search: ({ open: _before, ...rest }) => (id === open ? rest : { ...rest, open: id }),
      replace: true,
      resetScroll: false,
    });
  return [open, toggle];
}

interface Props {
  /** What the button says to those who do not see it: "More of entry 12". */
  readonly label: string;
  readonly isOpen: boolean;
  readonly onToggle: () => void;
  /** Of the table, this one's button included. */
  readonly columns: number;
  readonly more: ReactNode;
  /** The cells. */
  readonly children: ReactNode;
}

export function UnfoldRow({ label, isOpen, onToggle, columns, more, children }: Props) {
  const id = useId();
  return (
    <>
      <tr className={`border-t border-line ${isOpen ? "bg-raised/50" : "hover:bg-raised/50"}`}>
        <td className="w-8 py-1 pl-2 align-middle">
          <button
            type="button"
            aria-expanded={isOpen}
            aria-controls={isOpen ? id : undefined}
            aria-label={label}
            onClick={onToggle}
            className="grid size-7 place-items-center rounded text-soft hover:bg-raised hover:text-text"
          >
            <svg viewBox="0 0 10 10" className={`size-2.5 transition-transform ${isOpen ? "rotate-90" : ""}`} aria-hidden="true">
              <path d="M3 1.5 7 5 3 8.5" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" />
            </svg>
          </button>
        </td>
        {children}
      </tr>
      {isOpen && (
        <tr id={id} className="bg-raised/50">
          <td colSpan={columns} className="p-0">
            {/* As wide as what one sees of the table, wherever its cells were scrolled to. */}
            <div className="sticky left-0 w-[100cqw] px-4 pt-1 pb-4 sm:pl-11">{more}</div>
          </td>
        </tr>
      )}
    </>
  );
}
