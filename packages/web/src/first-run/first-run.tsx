// The guide of a new installation: there until everything in it has happened, or until one hides it.
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { queries } from "../api/queries.ts";
import { For } from "../app/caller.tsx";
import { Button } from "../ui/button.tsx";
import { Command } from "../ui/command.tsx";
import { Panel } from "../ui/panel.tsx";
import { Tick } from "../ui/tick.tsx";
import { firstSteps } from "./steps.ts";

const Join = lazy(async () => ({ default: (await import("../node/join.tsx")).JoinDialog }));

const key = "aether.first-run.hidden";

export function FirstRun() {
  const nodes = useQuery(queries.nodes());
  const workloads = useQuery(queries.workloads());
  const certificates = useQuery(queries.certificates());
  const drills = useQuery(queries.drills());
  const [isJoining, setJoining] = useState(false);
  const [isHidden, setHidden] = useState(localStorage.getItem(key) !== null);
  const isPending = nodes.data === undefined || workloads.data === undefined || drills.data === undefined || certificates.isPending;
  if (isHidden || isPending) return null;
  const steps = firstSteps({ nodes: nodes.data, workloads: workloads.data, drills: drills.data, certificates: certificates.data });
  const next = steps.find(({ isDone }) => !isDone);
  if (next === undefined) return null;
  const done = steps.filter(({ isDone }) => isDone).length;
  return (
    <Panel
      title="First steps"
      aside={
        <>
          <span className="nums text-xs">
            {done} of {steps.length}
          </span>
          <Button
            tone="quiet"
            className="-mr-3"
            onClick={() => {
              localStorage.setItem(key, "1");
              setHidden(true);
            }}
          >
            Hide
          </Button>
        </>
      }
    >
      <ol className="grid gap-2">
        {steps.map((step) => (
          <li key={step.id} className="flex gap-3">
            <Tick isDone={step.isDone} isNext={step === next} />
            <div className="grid min-w-0 gap-1">
              <p>
                <span className={step === next ? "font-medium" : ""}>{step.title}</span>{" "}
                <span className="sr-only">{step.isDone ? "(done)" : "(not yet)"}</span>
                <span className="wrap-anywhere text-soft"> {step.isDone || step === next ? step.detail : ""}</span>
              </p>
              {step === next && step.command !== undefined && (
                <div className="flex flex-wrap items-center gap-2">
                  <Command text={step.command} />
                  {step.id === "node" && (
                    <For as="admin">
                      <Button onClick={() => setJoining(true)}>Add a node…</Button>
                    </For>
                  )}
                </div>
              )}
            </div>
          </li>
        ))}
      </ol>
      {isJoining && (
        <Suspense>
          <Join onClose={() => setJoining(false)} />
        </Suspense>
      )}
    </Panel>
  );
}
