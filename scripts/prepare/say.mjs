// @ts-check
// What the preparation says goes to stderr: stdout belongs to the command that follows (`aether up --json` prints one document there).
import { createInterface } from "node:readline/promises";

/** One line for the person at the screen. @param {string} line */
export function say(line = "") {
  process.stderr.write(`${line}\n`);
}

/** True where a question can be answered: a terminal on both ends, and no CI. */
export function canAsk() {
  return Boolean(process.stdin.isTTY && process.stderr.isTTY) && process.env.CI !== "true";
}

/**
 * Asks, with No as the answer of a bare Enter, of a closed input and of Ctrl-C, which also reaches this process as the SIGINT that it means.
 * @param {string} question @returns {Promise<boolean>}
 */
export async function ask(question) {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await new Promise((resolve) => {
      lines.once("close", () => resolve(""));
      lines.once("SIGINT", () => {
        process.emit("SIGINT");
        lines.close();
      });
      lines.question(`${question} (y/N) `).then(resolve, () => resolve(""));
    });
    return /^y(es)?$/i.test(String(answer).trim());
  } finally {
    lines.close();
  }
}

/** Seconds with one digit. @param {number} ms */
export const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/**
 * Tells that a long thing is still alive: nothing in its first two seconds, then its age and its last line of output; on a terminal in one
 * line that is rewritten each second, elsewhere (a CI log) as a new line every ten.
 * @param {string} label @param {() => string} lastLine
 * @returns {() => void} ends it
 */
export function startProgress(label, lastLine) {
  const startedAt = Date.now();
  const onTerminal = Boolean(process.stderr.isTTY);
  const show = () => {
    const ageMs = Date.now() - startedAt;
    if (ageMs < 2_000) return;
    const line = `  … ${label}: ${Math.round(ageMs / 1000)} s  ${lastLine()}`.trimEnd();
    process.stderr.write(onTerminal ? `\r\x1b[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}` : `${line}\n`);
  };
  const timer = setInterval(show, onTerminal ? 1_000 : 10_000);
  const first = setTimeout(show, 2_100);
  return () => {
    clearInterval(timer);
    clearTimeout(first);
    if (onTerminal && Date.now() - startedAt >= 2_000) process.stderr.write("\r\x1b[K");
  };
}
