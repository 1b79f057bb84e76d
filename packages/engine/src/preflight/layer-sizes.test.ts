import { expect, it } from "vitest";
import { createLayerSizes } from "./layer-sizes.ts";

it("a layer is counted again after two minutes, and a costly one after a thousand times its cost", async () => {
  let [now, walks, cost] = [0, 0, 1];
  const sizes = createLayerSizes(
    async () => {
      now += cost;
      return { bytes: ++walks, count: 1 };
    },
    () => now,
  );
  const bytes = async () => (await sizes.of("db")).bytes;
  expect([await bytes(), await bytes()]).toEqual([1, 1]);
  now += 119_000;
  expect(await bytes()).toBe(1);
  now += 2_000;
  cost = 500;
  expect(await bytes()).toBe(2);
  now += 499_000;
  expect(await bytes()).toBe(2);
  now += 2_000;
  expect(await bytes()).toBe(3);
});
