// Keys that work everywhere but in a field: Ctrl K or / opens the palette, "g" and a letter goes to a place.
import { useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";
import { places } from "./places.ts";

const pairMs = 2_000;

export function useShortcuts({ onPalette }: { onPalette: () => void }): void {
  const navigate = useNavigate();
  useEffect(() => {
    let goSinceMs = 0;
    const onKey = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        onPalette();
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]") !== null)
        return;
      if (event.key === "/") {
        event.preventDefault();
        onPalette();
      } else if (event.timeStamp - goSinceMs < pairMs) {
        goSinceMs = 0;
        const place = places.find(({ go }) => go === event.key);
        if (place !== undefined) void navigate({ to: place.to });
      } else if (event.key === "g") goSinceMs = event.timeStamp;
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [navigate, onPalette]);
}

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
