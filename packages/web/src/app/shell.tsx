// The frame of every page: where one can go, how fresh what is shown is, and who is signed in.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useState } from "react";
import { api } from "../api/clients.ts";
import { useLive } from "../live/live.tsx";
import type { Connection } from "../live/stream.ts";
import type { Act } from "./acting.tsx";
import { useCaller } from "./caller.tsx";
import { useShortcuts } from "./keyboard.ts";
import { places } from "./places.ts";
import { toggleTheme, useTheme } from "./theme.ts";

const Palette = lazy(() => import("./palette.tsx"));
const Acting = lazy(() => import("./acting.tsx"));

export function Shell() {
  const [open, setOpen] = useState<"palette" | "menu" | undefined>();
  const [act, setAct] = useState<Act>();
  useShortcuts({ onPalette: () => setOpen("palette") });
  const pathname = useRouterState({ select: (state) => state.location.pathname });
  // biome-ignore lint/correctness/useExhaustiveDependencies: the menu closes when one has gone somewhere
  useEffect(() => setOpen(undefined), [pathname]);
  return (
    <div className="min-h-dvh md:grid md:grid-cols-[13.5rem_minmax(0,1fr)]">
      <a href="#content" className="sr-only focus:not-sr-only focus:absolute focus:z-50 focus:bg-surface focus:p-2">
        Skip to the content
      </a>
      <header className="flex h-12 items-center gap-3 border-b border-line bg-surface px-4 md:hidden">
        <Brand />
        <ConnectionMark isShort />
        <button
          type="button"
          className="ml-auto h-8 rounded-md border border-line px-3 font-medium"
          aria-expanded={open === "menu"}
          aria-controls="places"
          onClick={() => setOpen(open === "menu" ? undefined : "menu")}
        >
          Menu
        </button>
      </header>
      <div
        id="places"
        className={`${open === "menu" ? "flex" : "hidden"} flex-col border-b border-line bg-surface p-3 md:sticky md:top-0 md:flex md:h-dvh md:overflow-y-auto md:border-r md:border-b-0`}
      >
        <div className="mb-3 hidden px-2 pt-1 md:block">
          <Brand />
        </div>
        <button
          type="button"
          onClick={() => setOpen("palette")}
          className="mb-3 flex h-8 items-center justify-between rounded-md border border-line bg-ground px-2.5 text-soft hover:text-text"
        >
          Search or do… <kbd className="font-mono text-xs">Ctrl K</kbd>
        </button>
        <nav aria-label="Main" className="grid gap-4">
          {(["Now", "Record", "Setup"] as const).map((group) => (
            <div key={group} className="grid gap-0.5">
              <div className="px-2 pb-1 text-xs text-soft">{group}</div>
              {places
                .filter((place) => place.group === group)
                .map(({ to, title, icon }) => (
                  <Link
                    key={to}
                    to={to}
                    activeOptions={{ exact: to === "/" }}
                    className="flex h-8 items-center gap-2.5 rounded-md px-2 text-soft hover:bg-raised hover:text-text"
                    activeProps={{ className: "bg-raised !text-text font-medium", "aria-current": "page" }}
                  >
                    <svg viewBox="0 0 16 16" className="size-4 shrink-0" aria-hidden="true">
                      <path d={icon} fill="none" stroke="currentColor" strokeWidth="1.3" strokeLinecap="round" strokeLinejoin="round" />
                    </svg>
                    {title}
                  </Link>
                ))}
            </div>
          ))}
        </nav>
        <div className="mt-auto grid gap-1 pt-6">
          <div className="hidden px-2 md:block">
            <ConnectionMark />
          </div>
          <Me />
        </div>
      </div>
      <main id="content" className="min-w-0" tabIndex={-1}>
        <Outlet />
      </main>
      {open === "palette" && (
        <Suspense>
          <Palette onClose={() => setOpen(undefined)} onAct={setAct} />
        </Suspense>
      )}
      {act !== undefined && (
        <Suspense>
          <Acting act={act} onClose={() => setAct(undefined)} />
        </Suspense>
      )}
    </div>
  );
}

function Brand() {
  return (
    <Link to="/" className="flex items-center gap-2 font-semibold tracking-tight">
      <svg viewBox="0 0 20 20" className="size-5" aria-hidden="true">
        <circle cx="6" cy="10" r="4" fill="var(--source)" />
        <circle cx="14.5" cy="10" r="3.4" fill="none" stroke="var(--target)" strokeWidth="1.8" />
      </svg>
      Aether Guard
    </Link>
  );
}

const connections: Readonly<Record<Connection, { text: string; look: string; about: string }>> = {
  connecting: { text: "connecting", look: "bg-soft", about: "The live stream is being opened." },
  live: { text: "live", look: "bg-good", about: "Every change is shown as it happens." },
  reconnecting: {
    text: "reconnecting",
    look: "bg-warn pulse",
    about: "The control plane does not answer. What is shown may be old; nothing is lost, the stream goes on where it broke.",
  },
  paused: { text: "paused", look: "bg-soft", about: "This page was in the background." },
  refused: { text: "signed out", look: "bg-bad", about: "The session has ended." },
};

function ConnectionMark({ isShort = false }: { isShort?: boolean }) {
  const { connection } = useLive();
  const { text, look, about } = connections[connection];
  return (
    <div role="status" className={`flex items-center gap-2 text-xs text-soft ${isShort ? "" : "h-8"}`} title={about}>
      <span className={`size-2 rounded-full ${look}`} aria-hidden="true" />
      {text}
    </div>
  );
}

function Me() {
  const caller = useCaller();
  const theme = useTheme();
  const client = useQueryClient();
  const leave = useMutation({
    mutationFn: () => api.signIn.signOut({}),
    onSuccess: () => {
      client.clear();
      location.assign("/");
    },
  });
  const name = caller.account?.name ?? caller.actor;
  return (
    <>
      <button
        type="button"
        onClick={toggleTheme}
        className="flex h-8 items-center rounded-md px-2 text-soft hover:bg-raised hover:text-text"
      >
        {theme === "dark" ? "Light theme" : "Dark theme"}
      </button>
      <div className="flex h-8 items-center gap-2 rounded-md px-2">
        <Link to="/settings" className="min-w-0 truncate font-medium hover:underline" title={`Signed in as ${name}`}>
          {name}
        </Link>
        <button type="button" onClick={() => leave.mutate()} className="ml-auto h-6 rounded px-1 text-xs text-soft hover:text-text">
          Sign out
        </button>
      </div>
    </>
  );
}
