// @ts-check

/** Aborts at the first SIGINT, SIGTERM or SIGHUP, so that children are ended and temporary things removed; the second ends us at once. */
export function stopSignal() {
  const stop = new AbortController();
  for (const name of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) process.once(name, () => stop.abort());
  return stop.signal;
}
