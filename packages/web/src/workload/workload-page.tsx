import { type Workload, WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { api } from "../api/clients.ts";
import { marketQueries } from "../api/market.ts";
import { policyQueries } from "../api/policies.ts";
import { queries } from "../api/queries.ts";
import { snapshotApi, snapshotQueries } from "../api/snapshots.ts";
import { telemetryQueries } from "../api/telemetry.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { CertificatePanel } from "../certificate/panel.tsx";
import { Happened } from "../event/happened.tsx";
import { bytes, percent, plural } from "../format/units.ts";
import { MigrationTable } from "../migration/table.tsx";
import { ClientGraph } from "../oracle/client-graph.tsx";
import { SettingsInForce } from "../policy/in-force.tsx";
import { selectorText } from "../policy/settings.ts";
import { RiskOf } from "../risk/of-node.tsx";
import { SnapshotTable } from "../snapshot/table.tsx";
import { useWindowSeconds } from "../telemetry/window.tsx";
import { WorkloadTelemetry } from "../telemetry/workload-telemetry.tsx";
import { Ask } from "../ui/ask.tsx";
import { Button } from "../ui/button.tsx";
import { Facts, Stat } from "../ui/facts.tsx";
import { useKnown } from "../ui/known.ts";
import { MigrationLink, NodeLink } from "../ui/links.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { HealthBadge, WorkloadBadge } from "../ui/states.tsx";
import { Tabs } from "../ui/tabs.tsx";
import { Time } from "../ui/time.tsx";
import { Logs } from "./logs.tsx";
import { Move } from "./move.tsx";

const tabs = [
  { id: "now", title: "Now" },
  { id: "moves", title: "Moves" },
  { id: "snapshots", title: "Snapshots" },
  { id: "logs", title: "Logs" },
  { id: "events", title: "Events" },
];

export function WorkloadPage() {
  const { name } = useParams({ from: "/workloads/$name" });
  const { tab = "now" } = useSearch({ from: "/workloads/$name" });
  const { data: workload, error, refetch } = useQuery(queries.workload(name));
  if (workload === undefined) {
    return <Page title={name}>{error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}</Page>;
  }
  return (
    <Page
      title={name}
      heading={
        <span className="flex flex-wrap items-center gap-2">
          {name} <WorkloadBadge workload={workload} />
          <HealthBadge health={workload.health} hasCheck={workload.spec?.health !== undefined} />
        </span>
      }
      aside={<Acts workload={workload} />}
    >
      {workload.reason !== "" && (
        <div role="alert" className="mb-4 rounded-lg border border-bad/40 bg-bad-ground px-4 py-3 break-words text-bad">
          {workload.reason}
          {workload.state === WorkloadState.NEEDS_OPERATOR && workload.migrationId !== "" && (
            <>
              {" "}
              <MigrationLink id={workload.migrationId}>Look at the move and decide</MigrationLink>
            </>
          )}
        </div>
      )}
      <Tabs tabs={tabs} current={tab} />
      {tab === "now" && <Now workload={workload} />}
      {tab === "moves" && <Moves name={name} />}
      {tab === "snapshots" && <Snapshots name={name} />}
      {tab === "logs" && <Logs name={name} />}
      {tab === "events" && <Happened subject={`workload/${name}`} />}
    </Page>
  );
}

function Now({ workload }: { workload: Workload }) {
  const { spec, usage, nodeId, epoch } = workload;
  const name = spec?.name ?? "";
  const oracles = useQuery(queries.oracles());
  const { data: migrations = [] } = useQuery(queries.migrations(name));
  const subject = `node/${nodeId}`;
  const isKnown = useKnown([
    oracles,
    useQuery(queries.certificate(name)),
    useQuery(telemetryQueries.workload(name, useWindowSeconds())),
    useQuery(policyQueries.ofWorkload(name)),
    useQuery(marketQueries.explainRisk(subject)),
    useQuery(marketQueries.riskHistory(subject)),
  ]);
  const clients = (oracles.data ?? []).filter((oracle) => oracle.workload === name);
  if (!isKnown) return <div className="min-h-dvh" />;
  return (
    <div className="grid gap-4">
      <div className="grid grid-cols-2 gap-3 lg:grid-cols-4">
        <Stat name="Runs on" value={<NodeLink id={nodeId} />} note={`epoch ${epoch}`} />
        <Stat
          name="Memory"
          value={usage === undefined ? "—" : bytes(usage.memoryBytes)}
          note={spec?.memoryLimitBytes ? `limit ${bytes(spec.memoryLimitBytes)}` : "no limit"}
        />
        <Stat
          name="CPU"
          value={usage === undefined ? "—" : percent(usage.cpuFraction)}
          note={
            usage === undefined
              ? ""
              : `${plural(usage.processCount, "process", "processes")}${spec !== undefined && spec.pidsLimit > 0 ? `, limit ${spec.pidsLimit}` : ""}`
          }
        />
        <Stat name="Connections" value={usage === undefined ? "—" : usage.tcpEstablished} note="established TCP" />
      </div>
      {clients.length > 0 && (
        <Panel title="What clients see" isFlush>
          {clients.map((report) => (
            <ClientGraph key={report.name} report={report} migrations={migrations} />
          ))}
        </Panel>
      )}
      <CertificatePanel workload={name} />
      <WorkloadTelemetry name={name} />
      {nodeId !== "" && <RiskOf node={nodeId} isNamed />}
      <SettingsInForce workload={name} />
      <Panel title="What it was asked to be">
        <Facts
          facts={[
            ["command", <code className="font-mono text-xs">{spec?.argv.map(quoted).join(" ")}</code>],
            ["address", <code className="font-mono text-xs">{spec?.address || "—"}</code>],
            ["labels", selectorText({ selector: spec?.labels ?? {} }) || "none"],
            ["root", spec?.rootfs || "host"],
            ["directory", spec?.workingDirectory || "/"],
            ["health", healthText(workload)],
            [
              "volumes",
              spec === undefined || spec.volumes.length === 0
                ? "none"
                : spec.volumes.map(({ source, destination }) => `${source} → ${destination}`).join(", "),
            ],
            [
              "environment",
              spec === undefined || Object.keys(spec.env).length === 0
                ? "none"
                : `${Object.keys(spec.env).join(", ")} (values are not shown)`,
            ],
            ["made", <Time at={workload.createdAt} />],
            ["started", <Time at={workload.startedAt} />],
          ]}
        />
      </Panel>
    </div>
  );
}

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

function healthText({ spec }: Workload): string {
  const kind = spec?.health?.kind;
  if (kind?.case === "tcpPort") return `TCP connect to port ${kind.value}`;
  if (kind?.case === "httpUrl") return `GET ${kind.value}`;
  if (kind?.case === "exec") return kind.value.argv.map(quoted).join(" ");
  return "none: after a move only the process itself is looked at";
}

function Moves({ name }: { name: string }) {
  const { data: migrations = [] } = useQuery(queries.migrations(name));
  return (
    <Panel title="Moves" isFlush>
      <MigrationTable migrations={migrations} workload={name} />
    </Panel>
  );
}

function Snapshots({ name }: { name: string }) {
  const { data: snapshots = [] } = useQuery(snapshotQueries.list(name));
  return (
    <Panel title="Snapshots" isFlush>
      <SnapshotTable snapshots={snapshots} workload={name} />
    </Panel>
  );
}

function Acts({ workload }: { workload: Workload }) {
  const name = workload.spec?.name ?? "";
  const navigate = useNavigate();
  const [asking, setAsking] = useState<"stop" | "remove">();
  const checkpoint = useAct(() => snapshotApi.createSnapshot({ workload: name }), {
    touches: ["snapshot"],
    done: () => `A snapshot of ${name} is in the store.`,
  });
  const stop = useAct(() => api.workloads.stopWorkload({ name }), { touches: ["workload"], onDone: () => setAsking(undefined) });
  const remove = useAct(() => api.workloads.removeWorkload({ name, force: true }), {
    touches: ["workload"],
    done: () => `${name} is removed.`,
    onDone: () => void navigate({ to: "/workloads" }),
  });
  const isRunning = workload.state === WorkloadState.RUNNING;
  return (
    <For as="operator">
      {isRunning && (
        <>
          <Button
            onClick={() => checkpoint.mutate(undefined)}
            isBusy={checkpoint.isPending}
            title="Freezes it for a moment and keeps its whole state"
          >
            Snapshot
          </Button>
          <Button onClick={() => setAsking("stop")}>Stop</Button>
        </>
      )}
      <Button onClick={() => setAsking("remove")}>Remove</Button>
      <Move workload={workload} tone="primary" />
      {asking === "stop" && (
        <Ask
          title={`Stop ${name}?`}
          act="Stop it"
          isBusy={stop.isPending}
          onAct={() => stop.mutate(undefined)}
          onClose={() => setAsking(undefined)}
        >
          <p>
            It is sent SIGTERM, and SIGKILL after 10 s. Its {plural(workload.usage?.tcpEstablished ?? 0, "connection")} will be closed, and
            its memory is gone unless you take a snapshot first.
          </p>
        </Ask>
      )}
      {asking === "remove" && (
        <Ask
          title={`Remove ${name}?`}
          act="Remove it"
          isBusy={remove.isPending}
          onAct={() => remove.mutate(undefined)}
          onClose={() => setAsking(undefined)}
        >
          <p>
            {isRunning ? "It runs: it is stopped first. " : ""}Its memory, its own files and its address are given up. Snapshots stay, and
            so does the record of what it did.
          </p>
        </Ask>
      )}
    </For>
  );
}
