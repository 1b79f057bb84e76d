/**
 * What is believed of a zone that is looked at only when something is launched there: a distribution over the states of the pool chain
 * (there or not, for how long, share of the recent past), moved on step by step and cut by each look. Zones differ from the chain's mean,
 * so each also has a frailty: its losses against those that the chain foretold.
 */
import { chainOf, type PoolChain, type PoolModel } from "../backtest/pool-model.ts";

/** Losses are compared with so many foretold ones before a zone is taken to be different. */
const FRAILTY_WEIGHT = 2;
/** What was seen of losses fades with this time constant. */
const FRAILTY_MEMORY_HOURS = 24;
/** A wait for a zone's return is looked at no further than this. */
const LONGEST_WAIT_HOURS = 6;
const STEPS_TO_REST = 4000;

/** What all zones of a job share: the chain in the job's own steps, and tables over its states. */
export interface BeliefTables {
  readonly chain: PoolChain;
  readonly stepHours: number;
  /** Chance of each state when nothing is known. */
  readonly resting: Float64Array;
  /** Chance to be lost in the next step, by state. */
  readonly loss: Float64Array;
  /** [steps][state]: expected hours until the loss, at most so many steps. */
  readonly lasting: readonly Float64Array[];
  /** [steps][state]: share of the next steps with capacity. */
  readonly upShare: readonly Float64Array[];
  /** Expected hours until it is back, by state. */
  readonly untilBack: Float64Array;
}

export function beliefTables(model: PoolModel, stepSeconds: number, workSteps: number, deadlineSteps: number): BeliefTables {
  const chain = fineChain(model, stepSeconds);
  const stepHours = stepSeconds / 3600;
  const isUp = (state: number): boolean => state >= chain.firstAvailable;
  /** One step back in time: value of each state, from what a state gives now and the values one step later. */
  const stepBack = (later: Float64Array, now: (state: number) => number, counts: (next: number) => number): Float64Array =>
    Float64Array.from({ length: chain.states }, (_, state) => {
      const start = now(state);
      return Number.isNaN(start) ? 0 : start + meanNext(chain, state, (next) => counts(next) * (later[next] as number));
    });
  const zero: Float64Array = new Float64Array(chain.states);
  const lasting: Float64Array[] = [zero];
  for (let k = 1; k <= workSteps; k++)
    lasting.push(
      stepBack(
        lasting[k - 1] as Float64Array,
        (s) => (isUp(s) ? stepHours : Number.NaN),
        (s) => (isUp(s) ? 1 : 0),
      ),
    );
  const upSteps: Float64Array[] = [zero];
  const upShare: Float64Array[] = [zero];
  for (let k = 1; k <= deadlineSteps; k++) {
    const sum = stepBack(
      upSteps[k - 1] as Float64Array,
      (s) => meanNext(chain, s, (next) => (isUp(next) ? 1 : 0)),
      () => 1,
    );
    upSteps.push(sum);
    upShare.push(sum.map((x) => x / k));
  }
  let untilBack = zero;
  for (let hours = 0; hours < LONGEST_WAIT_HOURS; hours += stepHours)
    untilBack = stepBack(
      untilBack,
      (s) => (isUp(s) ? Number.NaN : stepHours),
      (s) => (isUp(s) ? 0 : 1),
    );
  const loss = Float64Array.from({ length: chain.states }, (_, state) => meanNext(chain, state, (next) => (isUp(next) ? 0 : 1)));
  let resting: Float64Array = new Float64Array(chain.states).fill(1 / chain.states);
  for (let i = 0; i < STEPS_TO_REST; i++) resting = moved(chain, resting);
  return { chain, stepHours, resting, loss, lasting, upShare, untilBack };
}

export class ZoneBelief {
  #share: Float64Array;
  #losses = 0;
  #foretold = 0;
  readonly #tables: BeliefTables;
  constructor(tables: BeliefTables) {
    this.#tables = tables;
    this.#share = tables.resting.slice();
  }

  /** A step passes in which our instance ran there (and was lost at its end, or not), or did not. */
  pass(ran: boolean, wasLost: boolean): void {
    const keep = Math.exp(-this.#tables.stepHours / FRAILTY_MEMORY_HOURS);
    this.#losses = this.#losses * keep + (ran && wasLost ? 1 : 0);
    this.#foretold = this.#foretold * keep + (ran ? this.#meanIfUp(this.#tables.loss) : 0);
    this.#share = moved(this.#tables.chain, this.#share);
  }

  /** What a launch, or an instance that runs on, has shown. */
  see(isUp: boolean): void {
    const { firstAvailable, states } = this.#tables.chain;
    const [from, to] = isUp ? [firstAvailable, states] : [0, firstAvailable];
    let mass = 0;
    for (let i = from; i < to; i++) mass += this.#share[i] as number;
    // Against all belief: start again from a zone of which only this is known.
    const base = mass > 1e-12 ? this.#share : this.#tables.resting;
    const cut = new Float64Array(states);
    let sum = 0;
    for (let i = from; i < to; i++) sum += base[i] as number;
    for (let i = from; i < to; i++) cut[i] = (base[i] as number) / sum;
    this.#share = cut;
  }

  /** Expected hours until the loss if it has capacity now, at most `steps` steps. */
  lastingHours(steps: number): number {
    const { lasting } = this.#tables;
    const frailty = (FRAILTY_WEIGHT + this.#losses) / (FRAILTY_WEIGHT + this.#foretold);
    return this.#meanIfUp(lasting[Math.min(lasting.length - 1, steps)] as Float64Array) / frailty;
  }

  /** Share of the next `steps` steps with capacity. */
  upShare(steps: number): number {
    const { upShare } = this.#tables;
    return this.#mean(upShare[Math.min(upShare.length - 1, Math.max(1, steps))] as Float64Array);
  }

  /** Expected hours until it has capacity. */
  get hoursUntilBack(): number {
    return this.#mean(this.#tables.untilBack);
  }

  #mean(table: Float64Array): number {
    return table.reduce((sum, x, i) => sum + x * (this.#share[i] as number), 0);
  }

  #meanIfUp(table: Float64Array): number {
    let mass = 0;
    let sum = 0;
    for (let i = this.#tables.chain.firstAvailable; i < this.#share.length; i++) {
      mass += this.#share[i] as number;
      sum += (this.#share[i] as number) * (table[i] as number);
    }
    return mass > 0 ? sum / mass : 0;
  }
}

/** The chain in steps shorter than the model's own: chances of a flip, of ageing and of a change of share are spread evenly over its step. */
function fineChain(model: PoolModel, stepSeconds: number): PoolChain {
  const part = stepSeconds / model.stepSeconds;
  if (part >= 1) return chainOf(model, stepSeconds);
  const chance = (p: number): number => 1 - (1 - p) ** part;
  const shareMove = model.shareMove.map((side) =>
    side.map((row, from) => row.map((p, to) => (from === to ? 1 - part * (1 - p) : part * p))),
  );
  const flip = model.flip.map((side) => side.map((row) => row.map(chance)));
  const ageing = model.ageing.map((row) => row.map(chance));
  return chainOf({ ...model, stepSeconds, flip, ageing, shareMove }, stepSeconds);
}

function meanNext(chain: PoolChain, state: number, value: (next: number) => number): number {
  const next = chain.next[state] as Uint16Array;
  const probability = chain.probability[state] as Float64Array;
  let sum = 0;
  for (let i = 0; i < next.length; i++) sum += (probability[i] as number) * value(next[i] as number);
  return sum;
}

function moved(chain: PoolChain, share: Float64Array): Float64Array {
  const out = new Float64Array(chain.states);
  for (let from = 0; from < chain.states; from++) {
    const mass = share[from] as number;
    if (mass === 0) continue;
    const next = chain.next[from] as Uint16Array;
    const probability = chain.probability[from] as Float64Array;
    for (let i = 0; i < next.length; i++) {
      const to = next[i] as number;
      out[to] = (out[to] as number) + mass * (probability[i] as number);
    }
  }
  return out;
}
