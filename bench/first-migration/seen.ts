/** What the client in a closed loop has to say at its end (probe.ts); times in ms. */
export interface Seen {
  readonly gapMs: number;
  readonly worstAfterMs: number;
  readonly worstSoonAfterMs: number;
  readonly over50MsSoonAfter: number;
  readonly wrongCount: number;
  readonly error: string | null;
  readonly isAnsweredAfter: boolean;
}

export const readSeen = (line: string): Seen => JSON.parse(line) as Seen;
