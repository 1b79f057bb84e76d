// What a step can do. The set is closed (index.ts): each act is something that the API has anyway, done through the API's own handlers for whoever started
// the run. There is no shell, and no way to call what is not here.
import type { Fault } from "@aether/contract";
import type { DescMessage, DescMethod, DescMethodUnary, JsonObject, MessageInitShape, MessageShape } from "@bufbuild/protobuf";

export type ValueType = "node" | "workload" | "number" | "text" | "choice";

export interface InputSpec {
  readonly name: string;
  readonly type: ValueType;
  readonly description: string;
  /** Without one it must be given. Empty where the act goes by that it was not given. */
  readonly defaultValue?: string;
  readonly choices?: readonly string[];
  /** Of a number. */
  readonly min?: number;
  readonly max?: number;
}

/** By name, parameters in place, defaults filled in, checked against the specs. */
export type Inputs = Readonly<Record<string, string>>;

/** Asks one of our own handlers, as whoever it is done for. Throws what the handler throws, and PERMISSION_DENIED where that one's role is too little. */
export type Ask = <Input extends DescMessage, Output extends DescMessage>(
  method: DescMethodUnary<Input, Output>,
  message: MessageInitShape<Input>,
) => Promise<MessageShape<Output>>;

export interface Looking {
  readonly ask: Ask;
  readonly nowMs: number;
}

export interface Doing extends Looking {
  /** runbook-run/ID/STEP: is on everything that the step makes, so that after a crash it is found instead of being made again. */
  readonly cause: string;
  readonly startedAtMs: number;
  /** Its time is over: what has begun may have come to its end, but nothing new begins. */
  readonly isOverdue: boolean;
  /** Agents have not all come back yet to a control plane that has just started: who is away may only be late. */
  readonly isJustStarted: boolean;
  /** What a person has said; undefined: nothing yet. */
  readonly word: Word | undefined;
}

export interface Word {
  readonly by: string;
  readonly isRefused: boolean;
  readonly note: string;
}

export interface Preview {
  /** In words: "moves 3 workloads away from n1". */
  readonly would: string;
  /** One line each, of what it would do to what. */
  readonly effects?: readonly string[];
  /** Why it would fail now. */
  readonly problems?: readonly string[];
}

export type Look =
  | {
      readonly is: "done";
      readonly detail: string;
      readonly made?: readonly string[] /** Told as an event, in the step's own transaction. */;
      readonly notice?: string;
    }
  | {
      readonly is: "going";
      readonly detail: string;
      readonly made?: readonly string[] /** Nothing is expected before. */;
      readonly wakeAtMs?: number;
    }
  | { readonly is: "failed"; readonly error: Fault; readonly made?: readonly string[] };

export interface Act {
  readonly name: string;
  readonly description: string;
  readonly inputs: readonly InputSpec[];
  /** The methods that it changes something with: their roles are what it demands. */
  readonly methods: readonly DescMethod[];
  /** A step is over after this long, unless it says otherwise. */
  timeoutSeconds(inputs: Inputs): number;
  readonly isForPerson?: boolean;
  /** What cannot be told from one input alone. Throws INVALID_ARGUMENT that names the input. */
  check?(inputs: Inputs): void;
  /** Changes nothing. */
  preview(looking: Looking, inputs: Inputs): Promise<Preview>;
  /** How things stand before it does anything, kept with the step: what `undo` goes by. Changes nothing. */
  before?(looking: Looking, inputs: Inputs): Promise<JsonObject>;
  /**
   * Does what is due next, if anything, and says how far it is. Called again and again, also after a crash at any place in it: what bears the step's cause,
   * or is as it shall be, is not done again. Throws a Fault: one that may pass (retry) is tried again until the step's time is over, any other fails it.
   */
  look(doing: Doing, inputs: Inputs, before: JsonObject): Promise<Look>;
  /** Takes back what it has set. Answers what it did; undefined: there was nothing to take back. Called again after a crash. */
  undo?(looking: Looking, inputs: Inputs, before: JsonObject): Promise<string | undefined>;
}

/** The number of an input that is one. */
export const numberOf = (inputs: Inputs, name: string): number => Number(inputs[name]);

/** "db", "db and web", "db, web and 3 more". */
export function listed(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most);
  const rest = names.length - shown.length;
  if (rest > 0) return `${shown.join(", ")} and ${rest} more`;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}

export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;
