import { useSyncExternalStore } from "react";

type Theme = "dark" | "light";
const listeners = new Set<() => void>();
const read = (): Theme => (document.documentElement.dataset.theme === "light" ? "light" : "dark");

export function toggleTheme(): void {
  const next: Theme = read() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("aether.theme", next);
  for (const listener of listeners) listener();
}

/** For what is drawn on a canvas and must know its colours. */
export function useTheme(): Theme {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, read);
}
