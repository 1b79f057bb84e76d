// @ts-check
// Which CRIU a kernel needs. Each row was a failure first; the version is the first release with the mend.

/** @typedef {readonly [major: number, minor: number]} Version */

/** @type {readonly { kernel: Version, criu: Version, because: string }[]} */
const KERNEL_NEEDS = [
  { kernel: [6, 16], criu: [4, 2], because: 'older ones fail on TCP sockets there ("Can\'t get 1:16 opt", checkpoint-restore/criu#2705)' },
  {
    kernel: [6, 13],
    criu: [4, 1],
    because: 'older ones do not start there ("Unexpected rt vDSO area bounds", checkpoint-restore/criu#2532)',
  },
  { kernel: [0, 0], criu: [3, 17], because: "older ones are not tested" },
];

/**
 * The lowest CRIU for a kernel, and why.
 * @param {string} kernel as `uname -r` prints it
 */
export function criuNeededBy(kernel) {
  const running = parseVersion(kernel) ?? [0, 0];
  const row = KERNEL_NEEDS.find((each) => isAtLeast(running, each.kernel));
  return row ?? /** @type {never} */ (KERNEL_NEEDS.at(-1));
}

/** The first `N.N` in a text: a kernel release, a Debian version without epoch, or the answer of `criu --version`. @param {string} text @returns {Version | undefined} */
export function parseVersion(text) {
  const match = /(\d+)\.(\d+)/.exec(text);
  return match ? [Number(match[1]), Number(match[2])] : undefined;
}

/** @param {Version} version @param {Version} lowest */
export function isAtLeast(version, lowest) {
  return version[0] > lowest[0] || (version[0] === lowest[0] && version[1] >= lowest[1]);
}
