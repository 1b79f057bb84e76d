import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { countCollections } from "./collections.ts";

it("counts the time for garbage between two moments, and none after them", async () => {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  const counted = countCollections();
  collect();
  await new Promise(setImmediate);
  const ms = counted.soFar();
  expect(counted.end()).toBe(ms);
  expect(ms).toBeGreaterThan(0);
  collect();
  await new Promise(setImmediate);
  expect(counted.end()).toBe(ms);
});
