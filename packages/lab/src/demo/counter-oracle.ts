// The truth that the demo's client checks: a counter to which one client adds one. Each answer is the one before plus one. After a connection
// broke, the request that was in flight may or may not have been counted: both are right, and the break itself is reported as an error.

export type Verdict = "right" | "wrong";

export interface CounterOracle {
  /** An answer came. The first one ever is taken as it is. */
  answered(value: number): Verdict;
  /** The connection broke; `inFlight`: a request had been sent and not answered. */
  broke(inFlight: boolean): void;
  readonly last: number | undefined;
}

export function createCounterOracle(): CounterOracle {
  let last: number | undefined;
  let maybeCounted = 0;
  return {
    answered(value) {
      const isRight = last === undefined || (value > last && value <= last + 1 + maybeCounted);
      last = value;
      maybeCounted = 0;
      return isRight ? "right" : "wrong";
    },
    broke(inFlight) {
      if (inFlight) maybeCounted++;
    },
    get last() {
      return last;
    },
  };
}
