// Commands of moves on their way to agents. Each is on record before it leaves; one without an outcome is asked about when its node is there, and what a
// move that rolls back has no use for any more is not waited for.
import { Fault, fault } from "@aether/contract";
import type { Logger } from "@aether/kit";
import type { AgentSessions } from "../fleet/sessions.ts";
import { buildCommand, type Held, noteResult } from "./held.ts";
import { type CommandFact, nodeOf, type StepName } from "./state.ts";
import { steps } from "./steps/index.ts";

export interface Flights {
  /** Every command without an outcome whose node is there is on its way, or asked about. */
  all(held: Held): void;
  /** @param isOnRecord it was written down just now: nobody is asked first */
  launch(held: Held, fact: CommandFact, command: ReturnType<typeof buildCommand>, isOnRecord: boolean): void;
  /** Nobody waits for these steps any more; they may still be carried out. */
  stop(held: Held, isOver: (step: StepName) => boolean): void;
}

/** What undoes a move. */
export const isUndoing = (step: StepName): boolean => step === "abort" || step === "thaw";

export interface FlightsOptions {
  readonly sessions: AgentSessions;
  readonly log: Logger;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
  /** One has ended that was not stopped; its result, if there was one, is noted. */
  readonly onLanded: (held: Held) => void;
}

export function createFlights({ sessions, log, nowMs, signal: life, onLanded }: FlightsOptions): Flights {
  const flights: Flights = {
    all(held) {
      for (const command of held.commands) {
        if (command.outcome !== undefined || held.flights.has(command.id)) continue;
        if (held.record.state === "rolling_back" && !isUndoing(command.step)) continue;
        if (!sessions.isConnected(nodeOf(held.record, steps[command.step].side))) continue;
        flights.launch(held, command, buildCommand(held, command.id, command.step, nowMs(), command.intendedAtMs), false);
      }
    },
    launch(held, fact, command, isOnRecord) {
      const node = nodeOf(held.record, steps[fact.step].side);
      const flight = new AbortController();
      held.flights.set(fact.id, flight);
      const signal = AbortSignal.any([flight.signal, life]);
      sessions
        .send(node, { ...command, id: fact.id }, signal, { isOnRecord })
        .then((result) => noteResult(held, result, nowMs()))
        .catch((caught: unknown) => {
          if (signal.aborted) return;
          if (Fault.from(caught).code !== "NODE_NOT_CONNECTED")
            log.warn({ err: caught, migration: held.record.id, step: fact.step, node }, "migration.step.unsent");
        })
        .finally(() => {
          held.flights.delete(fact.id);
          if (!signal.aborted) onLanded(held);
        });
    },
    stop(held, isOver) {
      for (const command of held.commands)
        if (isOver(command.step)) held.flights.get(command.id)?.abort(fault("CANCELLED", "the move went another way"));
    },
  };
  return flights;
}
