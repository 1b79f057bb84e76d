import { useNavigate, useSearch } from "@tanstack/react-router";

const windows = [
  { name: "15m", seconds: 900, title: "15 min" },
  { name: "3h", seconds: 10_800, title: "3 h" },
  { name: "1d", seconds: 86_400, title: "1 d" },
  { name: "7d", seconds: 604_800, title: "7 d" },
] as const;

/** How far back is looked, as the address says: `window=3h`. */
export function useWindowSeconds(): number {
  const wanted = useSearch({ strict: false, select: (search: { window?: string }) => search.window });
  return (windows.find(({ name }) => name === wanted) ?? windows[0]).seconds;
}

export function WindowChoice() {
  const seconds = useWindowSeconds();
  const navigate = useNavigate();
  return (
    <div role="radiogroup" aria-label="How far back" className="flex rounded-md border border-line">
      {windows.map((each) => (
        // biome-ignore lint/a11y/useSemanticElements: four buttons in a row, of which one is on
        <button
          key={each.seconds}
          type="button"
          role="radio"
          aria-checked={seconds === each.seconds}
          onClick={() =>
            void navigate({
              to: ".",
              search: ({ window: _, ...before }) => (each === windows[0] ? before : { ...before, window: each.name }),
              replace: true,
              resetScroll: false,
            })
          }
          className={`h-6 px-2 text-xs first:rounded-l-md last:rounded-r-md ${seconds === each.seconds ? "bg-raised font-medium text-text" : "hover:text-text"}`}
        >
          {each.title}
        </button>
      ))}
    </div>
  );
}
