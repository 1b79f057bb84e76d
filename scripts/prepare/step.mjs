// @ts-check
// The shape that every step of the preparation has. `look` reads and changes nothing; `do` may be repeated, and may be killed at any point.

/**
 * @typedef {object} Context
 * @property {string} root                  the clone
 * @property {string} prefix                what is installed machine-wide and is not the distribution's lies under it
 * @property {boolean} withTests
 * @property {import("./machine.mjs").Machine} machine
 * @property {AbortSignal} signal
 */

/**
 * @typedef {object} Facts
 * @property {"done" | "missing" | "blocked" | "routine"} state    blocked: missing, and this script cannot mend it here; routine: done each
 *                                  time, without a question and without a word
 * @property {string} found         what there is, or what is missing
 * @property {string} [plan]        missing: what `do` will do
 * @property {string} [getIt]       blocked: the command, or the place, that mends it
 */

/**
 * @typedef {object} Step
 * @property {string} name
 * @property {string} why           what is lost without it
 * @property {boolean} isRequired   nothing can start without it
 * @property {"clone" | "machine"} changes     what it changes, and so what it locks and whether it is asked about
 * @property {(context: Context) => Facts | Promise<Facts>} look
 * @property {(context: Context, lockFd: number | undefined) => Promise<void>} [do]    absent in a step that only reports
 */

export {};
