// confirm, notify, wait: what concerns people and the clock alone.
import { fault } from "@aether/contract";
import { type Act, numberOf } from "./act.ts";

export const confirm: Act = {
  name: "confirm",
  description: "Waits for a person's word. Without one in time, or with a no, it has failed.",
  inputs: [
    { name: "message", type: "text", description: "what is to be confirmed" },
    { name: "by", type: "choice", description: "who may: operator, admin", choices: ["operator", "admin"], defaultValue: "operator" },
    {
      name: "other_person",
      type: "choice",
      description: "somebody else than who started the run",
      choices: ["no", "yes"],
      defaultValue: "no",
    },
  ],
  methods: [],
  timeoutSeconds: () => 86_400,
  isForPerson: true,
  preview: async (_, { message, by, other_person }) => ({
    would: `waits until ${other_person === "yes" ? `another ${by}` : `an ${by}`} confirms: ${message}`,
  }),
  async look({ word }, { message = "" }) {
    if (word === undefined) return { is: "going", detail: message };
    const note = word.note === "" ? "" : `: ${word.note}`;
    if (word.isRefused) return { is: "failed", error: fault("CONFIRM_REFUSED", `${word.by} has refused${note}`) };
    return { is: "done", detail: `confirmed by ${word.by}${note}` };
  },
};

export const notify: Act = {
  name: "notify",
  description: "Tells everybody who follows the events: the dashboard, `aether events -f`, what listens to /api/v2/events.",
  inputs: [{ name: "message", type: "text", description: "what is told" }],
  methods: [],
  timeoutSeconds: () => 60,
  preview: async (_, { message }) => ({ would: `tells by event: ${message}` }),
  look: async (_, { message = "" }) => ({ is: "done", detail: message, notice: message }),
};

export const wait: Act = {
  name: "wait",
  description: "Lets time pass.",
  inputs: [{ name: "seconds", type: "number", description: "how long", min: 1, max: 86_400 }],
  methods: [],
  timeoutSeconds: (inputs) => numberOf(inputs, "seconds") + 60,
  preview: async (_, { seconds }) => ({ would: `waits ${seconds} s` }),
  async look({ nowMs, startedAtMs }, inputs) {
    const wakeAtMs = startedAtMs + numberOf(inputs, "seconds") * 1000;
    if (nowMs >= wakeAtMs) return { is: "done", detail: `${inputs.seconds} s have passed` };
    return { is: "going", detail: `until ${new Date(wakeAtMs).toISOString()}`, wakeAtMs };
  },
};
