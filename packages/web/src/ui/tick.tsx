/** A step of a guide: done, next, or later. */
export function Tick({ isDone, isNext }: { isDone: boolean; isNext: boolean }) {
  return (
    <svg
      viewBox="0 0 16 16"
      className={`mt-0.5 size-4 shrink-0 ${isDone ? "text-good" : isNext ? "text-accent" : "text-soft"}`}
      aria-hidden="true"
    >
      <circle cx="8" cy="8" r="7" fill="none" stroke="currentColor" strokeWidth="1.4" className={isNext ? "pulse" : ""} />
      {isDone && (
        <path
          d="M4.8 8.2 7 10.4l4.2-4.8"
          fill="none"
          stroke="currentColor"
          strokeWidth="1.6"
          strokeLinecap="round"
          strokeLinejoin="round"
        />
      )}
    </svg>
  );
}
