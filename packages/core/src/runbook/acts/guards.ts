// pause-moves, resume-moves: the kill switch.
import { GuardService } from "@aether/contract/gen/aether/v2/guard_pb";
import type { Act, Looking } from "./act.ts";

const isPaused = async ({ ask }: Looking) => (await ask(GuardService.method.getGuards, {})).guards?.isPaused === true;

export const pauseMoves: Act = {
  name: "pause-moves",
  description:
    "The kill switch on: nothing moves by itself, not even on a notice. Moves under way go on. Taken back only where it was off before.",
  inputs: [{ name: "reason", type: "text", description: "shown wherever moves are held back", defaultValue: "" }],
  methods: [GuardService.method.pauseMoves],
  timeoutSeconds: () => 60,
  preview: async (looking) => ({
    would: (await isPaused(looking)) ? "nothing: moves are halted already" : "halts all moves that nobody starts by hand",
  }),
  before: async (looking) => ({ wasPaused: await isPaused(looking) }),
  async look(doing, { reason }, { wasPaused }) {
    if (wasPaused === true) return { is: "done", detail: "moves were halted already" };
    if (!(await isPaused(doing))) await doing.ask(GuardService.method.pauseMoves, { reason: reason || doing.cause });
    return { is: "done", detail: "moves are halted" };
  },
  async undo(looking, _, { wasPaused }) {
    if (wasPaused !== false) return undefined;
    if (await isPaused(looking)) await looking.ask(GuardService.method.resumeMoves, {});
    return "moves may begin again";
  },
};

export const resumeMoves: Act = {
  name: "resume-moves",
  description: "The kill switch off.",
  inputs: [],
  methods: [GuardService.method.resumeMoves],
  timeoutSeconds: () => 60,
  preview: async (looking) => ({ would: (await isPaused(looking)) ? "lets moves begin again" : "nothing: moves are not halted" }),
  async look(doing) {
    if (await isPaused(doing)) await doing.ask(GuardService.method.resumeMoves, {});
    return { is: "done", detail: "moves may begin" };
  },
};
