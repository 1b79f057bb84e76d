import { expect, it } from "vitest";
import { createLogger, recentLogLines } from "./log.ts";

it("a logger's last lines are kept for diagnostics, without secrets, the oldest go first, and not without end", () => {
  const log = createLogger({ name: "kept", level: "info", file: "/dev/null" });
  expect(recentLogLines("nobody")).toEqual([]);
  log.info({ token: "at_secret", nodeId: "n1" }, "one");
  log.debug("not said");
  expect(recentLogLines("kept").map((line) => JSON.parse(line))).toMatchObject([{ msg: "one", token: "[redacted]", nodeId: "n1" }]);
  for (let i = 0; i < 3_000; i++) log.info({ i, filler: "x".repeat(200) }, "more");
  const lines = recentLogLines("kept");
  expect(lines.join("").length).toBeLessThan(400 << 10);
  expect(lines.length).toBeGreaterThan(500);
  expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ i: 2_999 });
});
