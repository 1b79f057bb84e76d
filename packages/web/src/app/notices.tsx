// What became of an act: a line at the bottom that a screen reader speaks, and that goes by itself when all is well.
import { createContext, type ReactNode, useCallback, useContext, useMemo, useRef, useState } from "react";
import { problemOf } from "../api/problem.ts";

interface Notice {
  readonly id: number;
  readonly text: string;
  readonly hint: string;
  readonly isBad: boolean;
}

interface Notices {
  say(text: string): void;
  refuse(error: unknown): void;
}

const NoticesContext = createContext<Notices>({ say: () => undefined, refuse: () => undefined });
export const useNotices = (): Notices => useContext(NoticesContext);

const stayMs = 6_000;

export function NoticesProvider({ children }: { children: ReactNode }) {
  const [notices, setNotices] = useState<readonly Notice[]>([]);
  const lastId = useRef(0);
  const drop = useCallback((id: number) => setNotices((all) => all.filter((each) => each.id !== id)), []);
  const value = useMemo<Notices>(() => {
    const add = (notice: Omit<Notice, "id">) => {
      const id = ++lastId.current;
      setNotices((all) => [...all.slice(-3), { ...notice, id }]);
      if (!notice.isBad) setTimeout(() => drop(id), stayMs);
    };
    return {
      say: (text) => add({ text, hint: "", isBad: false }),
      refuse(error) {
        const { message, hint, isAway } = problemOf(error);
        add({ text: message, hint: isAway ? "Whether it was done is not known: look before you try again." : hint, isBad: true });
      },
    };
  }, [drop]);
  return (
    <NoticesContext value={value}>
      {children}
      <div aria-live="polite" className="pointer-events-none fixed inset-x-0 bottom-0 z-50 grid justify-items-end gap-2 p-4">
        {notices.map(({ id, text, hint, isBad }) => (
          <div
            key={id}
            className={`pointer-events-auto flex max-w-[min(30rem,100%)] items-start gap-3 rounded-lg border px-4 py-3 shadow-lg ${isBad ? "border-bad/50 bg-bad-ground" : "border-line bg-surface"}`}
          >
            <div className="min-w-0">
              <p className={`break-words ${isBad ? "font-medium text-bad" : ""}`}>{text}</p>
              {hint !== "" && <p className="break-words">{hint}</p>}
            </div>
            <button type="button" aria-label="Dismiss" onClick={() => drop(id)} className="-m-1 size-6 shrink-0 text-soft hover:text-text">
              ×
            </button>
          </div>
        ))}
      </div>
    </NoticesContext>
  );
}
