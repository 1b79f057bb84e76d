import type { ReactNode } from "react";
import { Command } from "./command.tsx";

/** Nothing here, and how that changes. */
export function Empty({ children, command }: { children: ReactNode; command?: string }) {
  return (
    <div className="grid grid-cols-[minmax(0,1fr)] justify-items-center gap-2 px-4 py-10 text-center text-soft">
      <p className="max-w-md">{children}</p>
      {command !== undefined && (
        <span className="max-w-full">
          <Command text={command} />
        </span>
      )}
    </div>
  );
}
