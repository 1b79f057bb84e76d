/** A change that lost against another one: it is told in a dialog that shows both, not as a failure. */
export class Overtaken extends Error {
  /** What it is now; undefined: it is gone. */
  readonly theirs: unknown;
  constructor(theirs: unknown) {
    super("it was changed meanwhile");
    this.theirs = theirs;
  }
}
