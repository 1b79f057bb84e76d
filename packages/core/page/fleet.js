// Nodes and workloads, with what can be done to them.
import { badge, bytes, element, empty, show, time, word } from "./elements.js";

const nodeTones = { READY: "good", LOST: "bad", CORDONED: "warn", INTERRUPTED: "warn" };

export function showNodes({ nodes, drills }, act) {
  if (nodes.length === 0) {
    return show(
      "nodes",
      empty("No nodes yet. In the local cloud they come by themselves; a real one joins with a token:", "aether token create --role agent"),
    );
  }
  show(
    "nodes",
    nodes.map((node) =>
      nodeItem(
        node,
        drills.find((drill) => drill.nodeId === node.id && drill.state === "DRILL_STATE_RUNNING"),
        act,
      ),
    ),
  );
}

function nodeItem(node, drill, act) {
  const state = String(node.state ?? "").replace("NODE_STATE_", "");
  const { capabilities = {}, agentVersion = "" } = node.facts ?? {};
  const criu = capabilities.criu ?? {};
  const drillButton = drill
    ? element("button", { data: { key: `drill-${node.id}` }, onclick: () => act(`/api/v2/drills/${drill.id}:stop`) }, "Stop the drill")
    : element(
        "button",
        {
          className: "danger",
          data: { key: `drill-${node.id}` },
          disabled: !node.isConnected,
          title: "Announces a rehearsed interruption on this node's metadata service, in 120 s",
          onclick: () => act("/api/v2/drills", { kind: "DRILL_KIND_NOTICE", nodeId: node.id }),
        },
        "Interrupt this node",
      );
  const usage = node.usage;
  return element(
    "div",
    { className: "item" },
    element(
      "div",
      { className: "row" },
      element("h3", {}, node.id),
      badge(word(state), nodeTones[state]),
      !node.isConnected && badge("not connected", "bad"),
      element("span", { className: "push" }, drillButton),
    ),
    node.interruptionAt && element("p", { className: "warn" }, `to be interrupted at ${time(node.interruptionAt)}`),
    element(
      "p",
      { className: "soft numbers" },
      usage
        ? `${bytes(usage.memoryAvailableBytes)} free, processors ${Math.round((usage.cpuFraction ?? 0) * 100)} % busy`
        : "no heartbeat yet",
      agentVersion ? `, agent ${agentVersion}` : "",
    ),
    element(
      "p",
      { className: "row" },
      criu.available
        ? badge(`moves workloads: CRIU ${criu.version}`, "good")
        : badge(`cannot move workloads${criu.reason ? `: ${criu.reason}` : ""}`, "bad"),
      capabilities.lazyPages && badge("post-copy"),
      capabilities.packetHold && capabilities.packetHold !== "none" && badge(`packets held (${capabilities.packetHold})`),
      capabilities.kernelVersion && badge(`kernel ${capabilities.kernelVersion}`),
    ),
    (capabilities.missing ?? []).map((each) => element("p", { className: "soft" }, `${each.what}: ${each.why} — ${each.mend}`)),
  );
}

const workloadTones = { RUNNING: "good", MIGRATING: "accent", NEEDS_OPERATOR: "bad", FAILED: "bad", LOST: "bad", EXITED: "warn" };
const chosenTargets = new Map();

export function showWorkloads({ workloads, nodes }, act) {
  if (workloads.length === 0) {
    return show("workloads", empty("No workloads. Start one:", "aether run db --health tcp:6379 -- redis-server --save ''"));
  }
  show(
    "workloads",
    workloads.map((workload) => workloadItem(workload, nodes, act)),
  );
}

function workloadItem(workload, nodes, act) {
  const { name, address } = workload.spec ?? {};
  const state = String(workload.state ?? "").replace("WORKLOAD_STATE_", "");
  const health = word(workload.health, "HEALTH_STATE_");
  const targets = nodes.filter((node) => node.id !== workload.nodeId);
  const isMovable = state === "RUNNING" && targets.length > 0;
  const choice = element(
    "select",
    { ariaLabel: `where ${name} is moved to`, disabled: !isMovable, onchange: (event) => chosenTargets.set(name, event.target.value) },
    element("option", { value: "" }, "best node"),
    targets.map((node) => element("option", { value: node.id, selected: chosenTargets.get(name) === node.id }, node.id)),
  );
  const move = element(
    "button",
    {
      data: { key: `move-${name}` },
      disabled: !isMovable,
      title: targets.length === 0 ? "there is no other node" : "",
      onclick: () => act(`/api/v2/workloads/${encodeURIComponent(name)}:migrate`, { targetNodeId: choice.value }),
    },
    "Migrate",
  );
  return element(
    "div",
    { className: "item" },
    element(
      "div",
      { className: "row" },
      element("h3", {}, name ?? ""),
      badge(word(state), workloadTones[state]),
      badge(
        health === "passing"
          ? "healthy"
          : health === "failing"
            ? "not healthy"
            : workload.spec?.health
              ? "health not known"
              : "no health check",
        health === "passing" ? "good" : health === "failing" ? "bad" : "soft",
      ),
      element("span", { className: "row push" }, choice, move),
    ),
    element(
      "p",
      { className: "soft numbers" },
      `on ${workload.nodeId || "no node"}, epoch ${workload.epoch ?? 0}, at ${address || "no address"}, ${bytes(workload.usage?.memoryBytes)}, ${workload.usage?.tcpEstablished ?? 0} connections`,
    ),
    workload.reason && element("p", { className: "bad" }, workload.reason),
  );
}
