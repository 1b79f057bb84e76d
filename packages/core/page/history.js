// What happened: the last drill's verdict, decisions with their reasons, events.
import { badge, duration, element, empty, show, time, word } from "./elements.js";

export function showDrill({ drills }) {
  const drill = drills[0];
  if (!drill)
    return show(
      "drill",
      empty("No drill yet. It rehearses an interruption where a real one would be announced:", "aether drill start --node n1 --wait"),
    );
  const state = word(drill.state, "DRILL_STATE_");
  const tone = state === "passed" ? "good" : state === "failed" ? "bad" : "accent";
  show(
    "drill",
    element(
      "div",
      { className: "row" },
      element("h3", {}, `${word(drill.kind, "DRILL_KIND_")} on ${drill.nodeId}`),
      badge(state, tone),
      element("span", { className: "soft push" }, time(drill.startedAt)),
    ),
    drill.noticeToSafeMs > 0 &&
      element(
        "p",
        { className: "numbers" },
        `decided ${duration(drill.noticeToDecisionMs ?? 0)} after the notice was seen, all safe after ${duration(drill.noticeToSafeMs)}`,
      ),
    state === "running" && element("p", { className: "soft" }, "Judged when every workload has moved and its clients have spoken."),
    element(
      "table",
      {},
      (drill.checks ?? []).map((check) =>
        element(
          "tr",
          {},
          element("th", { className: check.isPassed ? "good" : "bad" }, `${check.isPassed ? "✓" : "✗"} ${check.name}`),
          element("td", {}, check.detail),
        ),
      ),
    ),
  );
}

export function showDecisions({ decisions }) {
  if (decisions.length === 0)
    return show("decisions", empty("No signal has been heard. A notice of the cloud, or a drill, leads to a decision."));
  show(
    "decisions",
    decisions.slice(0, 8).map((decision) =>
      element(
        "div",
        { className: "item" },
        element(
          "div",
          { className: "row" },
          element("h3", {}, decision.nodeId),
          badge(decision.action, decision.action === "migrate" ? "accent" : "soft"),
          badge(decision.rule),
          element("span", { className: "soft push" }, time(decision.at)),
        ),
        element("p", {}, decision.reason),
        element(
          "p",
          { className: "soft numbers" },
          `${duration(decision.latencyMs ?? 0)} after it was received${decision.rule === "node-lost-hold" ? "" : `, ${duration(decision.sinceObservedMs ?? 0)} after it was seen`}`,
        ),
        (decision.moves ?? []).map((move) =>
          element(
            "p",
            { className: "soft" },
            move.refusal ? `${move.workload} stays: ${move.refusal}` : `${move.workload} to ${move.targetNodeId}`,
          ),
        ),
      ),
    ),
  );
}

export function showEvents(events) {
  if (events.length === 0)
    return show("events", empty("Nothing has happened since this page was opened; what was before:", "aether events"));
  show(
    "events",
    element(
      "div",
      { className: "scroll" },
      events.map((event) =>
        element(
          "div",
          { className: "item" },
          element(
            "div",
            { className: "row" },
            element("span", { className: "soft numbers" }, time(event.at)),
            element("code", {}, event.type),
          ),
          element("p", {}, event.message),
        ),
      ),
    ),
  );
}
