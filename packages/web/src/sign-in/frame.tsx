import type { ReactNode } from "react";

export function SignInFrame({ title, children }: { title: string; children: ReactNode }) {
  return (
    <main className="grid min-h-dvh place-items-center p-4">
      <div className="grid w-full max-w-sm gap-4 rounded-xl border border-line bg-surface p-6">
        <div className="flex items-center gap-2 text-soft">
          <svg viewBox="0 0 20 20" className="size-5" aria-hidden="true">
            <circle cx="6" cy="10" r="4" fill="var(--source)" />
            <circle cx="14.5" cy="10" r="3.4" fill="none" stroke="var(--target)" strokeWidth="1.8" />
          </svg>
          Aether Guard
        </div>
        {title !== "" && <h1 className="text-lg font-semibold">{title}</h1>}
        {children}
      </div>
    </main>
  );
}
