// The guide of a new installation: there until everything in it has happened, or until one hides it.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { queries } from "../api/queries.ts";
import { Button } from "../ui/button.tsx";
import { Command } from "../ui/command.tsx";
import { Panel } from "../ui/panel.tsx";
import { firstSteps } from "./steps.ts";

const key = "aether.first-run.hidden";

export function FirstRun() {
  const nodes = useQuery(queries.nodes());
  const workloads = useQuery(queries.workloads());
  const certificates = useQuery(queries.certificates());
  const drills = useQuery(queries.drills());
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
                <div>
                  <Command text={step.command} />
                </div>
              )}
            </div>
          </li>
        ))}
      </ol>
    </Panel>
  );
}

function Tick({ isDone, isNext }: { isDone: boolean; isNext: boolean }) {
  return (
    <svg
      viewBox="0 0 16 16"
      className={`mt-0.5 size-4 shrink-0 ${isDone ? "text-good" : isNext ? "text-accent" : "text-soft"}`}
      aria-hidden="true"
    >
      <circle cx="8" cy="8" r="7" fill="none" stroke="currentColor" strokeWidth="1.4" className={isNext ? "pulse" : ""} />
      {isDone && (
        <path
          d="M4.8 8.2 7 10.4l4.2-4.8"
          fill="none"
          stroke="currentColor"
          strokeWidth="1.6"
          strokeLinecap="round"
          strokeLinejoin="round"
        />
      )}
    </svg>
  );
}
