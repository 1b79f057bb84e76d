// What the palette begins: the same dialogs as on the pages, which say what an act will do before it does it.
import type { Node } from "@aether/contract/gen/aether/v2/node_pb";
import type { Workload } from "@aether/contract/gen/aether/v2/workload_pb";
import { lazy } from "react";
import { InterruptDialog } from "../drill/interrupt.tsx";
import { DrainDialog } from "../node/drain.tsx";
import { JoinDialog } from "../node/join.tsx";
import { MoveDialog } from "../workload/move.tsx";

const PolicyEditor = lazy(() => import("../policy/editor.tsx"));
const RunbookEditor = lazy(() => import("../runbook/editor.tsx"));

export type Act =
  | { readonly kind: "move"; readonly workload: Workload }
  | { readonly kind: "interrupt" | "drain"; readonly node: Node }
  | { readonly kind: "join" | "policy" | "runbook" };

export default function Acting({ act, onClose }: { act: Act; onClose: () => void }) {
  switch (act.kind) {
    case "move":
      return <MoveDialog workload={act.workload} onClose={onClose} />;
    case "interrupt":
      return <InterruptDialog node={act.node} onClose={onClose} />;
    case "drain":
      return <DrainDialog node={act.node} onClose={onClose} />;
    case "join":
      return <JoinDialog onClose={onClose} />;
    case "policy":
      return <PolicyEditor policy={undefined} taken={[]} onClose={onClose} />;
    case "runbook":
      return <RunbookEditor runbook={undefined} onClose={onClose} />;
  }
}
