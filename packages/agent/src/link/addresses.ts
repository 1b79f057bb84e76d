// The control planes of one database: one leads, the others refuse. Whichever answered last is asked first.

export interface CoreAddresses {
  /** HOST:PORT, for the next attempt. */
  next(): string;
  /** The one that was given last, without going on. */
  current(): string;
  /** The one that was given last is the right one: it is kept until it fails. */
  keep(): void;
  readonly count: number;
}

/** @param text HOST:PORT, several separated by commas. */
export function createCoreAddresses(text: string): CoreAddresses {
  const all = text.split(",");
  let at = 0;
  let isFirst = true;
  let isKept = false;
  return {
    next() {
      if (!isFirst && !isKept) at = (at + 1) % all.length;
      isFirst = false;
      isKept = false;
      return all[at] ?? text;
    },
    current: () => all[at] ?? text,
    keep() {
      isKept = true;
    },
    count: all.length,
  };
}
