// Asks before an act that others feel: its children say what it does, and the button names it.
import type { ReactNode } from "react";
import { Button } from "./button.tsx";
import { Dialog } from "./dialog.tsx";

interface Props {
  readonly title: string;
  readonly children: ReactNode;
  /** The word on the button: "Drain it". */
  readonly act: string;
  readonly tone?: "primary" | "danger";
  readonly isBusy?: boolean;
  readonly isDisabled?: boolean;
  readonly onAct: () => void;
  readonly onClose: () => void;
}

export function Ask({ title, children, act, tone = "danger", isBusy = false, isDisabled = false, onAct, onClose }: Props) {
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      <div className="mt-4 flex justify-end gap-2">
        <Button onClick={onClose}>Not now</Button>
        <Button tone={tone} disabled={isDisabled} isBusy={isBusy} onClick={onAct}>
          {act}
        </Button>
      </div>
    </Dialog>
  );
}
