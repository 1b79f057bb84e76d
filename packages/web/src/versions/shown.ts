// Which version a page shows: the one that its address names, else the one in force, else (it was deleted) the newest there was.
import { problemOf } from "../api/problem.ts";
import type { Versioned } from "./versioned.ts";

export interface Asked<T> {
  readonly data: T | undefined;
  readonly error: unknown;
}

export interface Shown<T> {
  /** Undefined: it was deleted. */
  readonly inForce: T | undefined;
  /** Undefined: nothing is known of it yet. */
  readonly shown: T | undefined;
  /** The one that is shown is not in force. */
  readonly isOld: boolean;
}

/** @param notFound the error that says that none is in force */
export function shownOf<T extends Versioned>(
  current: Asked<T>,
  versions: Asked<readonly T[]>,
  wanted: string | undefined,
  notFound: string,
): Shown<T> {
  const isGone = current.error !== null && problemOf(current.error).code === notFound;
  const inForce = isGone ? undefined : current.data;
  const shown = versions.data?.find(({ version }) => String(version) === wanted) ?? inForce ?? versions.data?.[0];
  return { inForce, shown, isOld: shown !== undefined && shown.version !== inForce?.version };
}
