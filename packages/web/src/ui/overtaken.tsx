// A change of one thing lost against another one: what it is now, and what one wanted. Nothing of one's own is set yet.
import type { ReactNode } from "react";
import { Button } from "./button.tsx";
import { Dialog } from "./dialog.tsx";

interface Props {
  readonly title: string;
  readonly children: ReactNode;
  /** Undefined: there is nothing left to change. */
  readonly onGoOn?: (() => void) | undefined;
  readonly goOn: string;
  readonly onClose: () => void;
}

export function OvertakenDialog({ title, children, onGoOn, goOn, onClose }: Props) {
  return (
    <Dialog title={title} onClose={onClose}>
      <p className="text-left whitespace-normal">{children}</p>
      <div className="mt-4 flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>Leave it so</Button>
        {onGoOn !== undefined && (
          <Button tone="primary" onClick={onGoOn}>
            {goOn}
          </Button>
        )}
      </div>
    </Dialog>
  );
}
