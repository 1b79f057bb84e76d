// The browser's own modal dialog: it keeps the focus inside, gives it back, and closes on Escape.
import { type ReactNode, useId, useLayoutEffect, useRef, useState } from "react";
import { Button } from "./button.tsx";

interface Props {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ReactNode;
  /** For text that one writes, and for two versions beside each other. */
  readonly isWide?: boolean;
  /** What was written in it would be lost: Escape and a click beside it ask first. */
  readonly hasUnsaved?: boolean;
}

export function Dialog({ title, onClose, children, isWide = false, hasUnsaved = false }: Props) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [isLeaving, setLeaving] = useState(false);
  // Before it leaves the page: one that is closed afterwards no longer gives the focus back.
  useLayoutEffect(() => {
    const dialog = ref.current;
    if (dialog !== null && !dialog.open) dialog.showModal();
    return () => dialog?.close();
  }, []);
  /** Where one was writing when one was asked. */
  const wasAt = useRef<Element>(null);
  const leave = () => {
    if (!hasUnsaved) return onClose();
    if (!isLeaving) wasAt.current = document.activeElement;
    setLeaving(true);
  };
  const goOn = () => {
    setLeaving(false);
    if (wasAt.current instanceof HTMLElement) wasAt.current.focus();
  };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it; a click beside it is a shortcut
    <dialog
      ref={ref}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        leave();
      }}
      onClose={() => {
        // Browsers do not ask a second time: another Escape closes it by itself.
        if (ref.current === null || ref.current.open) return;
        if (hasUnsaved) ref.current.showModal();
        leave();
      }}
      onClick={(event) => event.target === ref.current && leave()}
      className={`rounded-xl border border-line bg-surface p-0 text-text shadow-2xl ${isWide ? "w-[min(64rem,calc(100vw-2rem))]" : "w-[min(32rem,calc(100vw-2rem))]"}`}
    >
      <div className="p-5">
        <h2 id={id} className="mb-3 text-base font-semibold break-words">
          {title}
        </h2>
        {isLeaving && (
          <div role="alert" className="mb-3 flex flex-wrap items-center gap-2 rounded-md bg-warn-ground px-3 py-2 text-warn">
            <span className="mr-auto">What you wrote is not set.</span>
            <Button onClick={onClose}>Throw it away</Button>
            <Button tone="primary" autoFocus onClick={goOn}>
              Go on writing
            </Button>
          </div>
        )}
        {children}
      </div>
    </dialog>
  );
}
