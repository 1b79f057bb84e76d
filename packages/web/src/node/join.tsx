// A real machine joins: what to do on it, with a token that works once, and whether it has happened.
import { Role } from "@aether/contract/gen/aether/v2/options_pb";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { opsQueries } from "../api/ops.ts";
import { queries } from "../api/queries.ts";
import { tokenApi } from "../api/tokens.ts";
import { msOf } from "../format/time.ts";
import { Button } from "../ui/button.tsx";
import { Command } from "../ui/command.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { NodeLink } from "../ui/links.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Tick } from "../ui/tick.tsx";

const usualPort = "3443";

export function JoinDialog({ onClose }: { onClose: () => void }) {
  const [sinceMs] = useState(() => Date.now());
  const { data: nodes = [] } = useQuery(queries.nodes());
  const { data: config } = useQuery(opsQueries.config());
  const make = useMutation({
    mutationFn: async () => (await tokenApi.createToken({ name: "node", role: Role.AGENT })).secret,
  });
  const configured = config?.values.find(({ key }) => key === "agents.port")?.valueJson ?? "";
  // 0: any free one, which nobody can be told beforehand.
  const port = configured === "" || configured === "0" ? usualPort : configured;
  // Through a tunnel the page does not know under which name its control plane is reached.
  const isLoopback = /^(localhost|127\.[\d.]+|\[::1\])$/.test(location.hostname);
  const address = `${isLoopback ? "CONTROL_PLANE" : location.hostname}:${port}`;
  // The two clocks may differ by some seconds.
  const joined = nodes.find(({ registeredAt }) => (msOf(registeredAt) ?? 0) > sinceMs - 5_000);
  return (
    <Dialog title="Add a node" onClose={onClose}>
      <ol className="grid gap-4">
        <li className="grid gap-1">
          <p className="font-medium">1. Prepare the machine</p>
          <p className="text-soft">In a clone of Aether Guard, as root. It says what it will install, and where.</p>
          <Command text="npm run prepare:machine -- --yes" />
        </li>
        <li className="grid gap-1">
          <p className="font-medium">2. Start its agent</p>
          {make.data === undefined ? (
            <>
              <p className="text-soft">With a token that lets one machine join, once, within the hour.</p>
              <div>
                <Button tone="primary" isBusy={make.isPending} onClick={() => make.mutate()}>
                  Make a join token
                </Button>
              </div>
              {make.error !== null && <ProblemNote error={make.error} />}
            </>
          ) : (
            <>
              <p className="text-soft">
                The token is shown only here.{" "}
                {isLoopback
                  ? "Put the control plane's own address in place of CONTROL_PLANE: the machine must reach it there."
                  : `The machine must reach ${address}.`}
              </p>
              <Command text={`sudo AETHER_AGENT_CORE_ADDRESS=${address} AETHER_AGENT_JOIN_TOKEN=${make.data} npx aether agent`} />
              <p className="text-xs text-soft">As a service that outlives the terminal: docs/start/real-nodes.md has its unit.</p>
            </>
          )}
        </li>
        <li className="flex gap-3" aria-live="polite">
          <Tick isDone={joined !== undefined} isNext={make.data !== undefined} />
          <p>
            {joined === undefined ? (
              <span className={make.data === undefined ? "text-soft" : ""}>3. It is here within seconds.</span>
            ) : (
              <>
                <NodeLink id={joined.id} /> has joined
                {joined.usage === undefined ? "; its first numbers come with its heartbeat." : ", and reports."}
              </>
            )}
          </p>
        </li>
      </ol>
      <div className="mt-4 flex justify-end">
        <Button onClick={onClose}>Close</Button>
      </div>
    </Dialog>
  );
}
