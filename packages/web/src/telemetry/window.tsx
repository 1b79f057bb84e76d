import { useState } from "react";

const windows = [
  { seconds: 900, title: "15 min" },
  { seconds: 10_800, title: "3 h" },
  { seconds: 86_400, title: "1 d" },
  { seconds: 604_800, title: "7 d" },
] as const;

export function useWindowSeconds() {
  const [seconds, setSeconds] = useState<number>(900);
  const choice = (
    <div role="radiogroup" aria-label="How far back" className="flex rounded-md border border-line">
      {windows.map((each) => (
        // biome-ignore lint/a11y/useSemanticElements: four buttons in a row, of which one is on
        <button
          key={each.seconds}
          type="button"
          role="radio"
          aria-checked={seconds === each.seconds}
          onClick={() => setSeconds(each.seconds)}
          className={`h-6 px-2 text-xs first:rounded-l-md last:rounded-r-md ${seconds === each.seconds ? "bg-raised font-medium text-text" : "hover:text-text"}`}
        >
          {each.title}
        </button>
      ))}
    </div>
  );
  return { seconds, choice };
}
