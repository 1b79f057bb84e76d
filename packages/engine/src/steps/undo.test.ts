import { expect, it } from "vitest";
import { createUndo } from "./undo.ts";

it("takes away the last first, each once, whatever becomes of the others, and says what failed first", async () => {
  const undo = createUndo();
  const order: string[] = [];
  expect(undo.add("a", (made) => order.push(made))).toBe("a");
  undo.add("b", async (made) => {
    await new Promise(setImmediate);
    order.push(made);
    throw new Error("b stays");
  });
  undo.add("c", () => {
    throw new Error("c stays");
  });
  await expect(undo.run()).rejects.toThrow("c stays");
  expect(order).toEqual(["b", "a"]);
  await undo.run();
  expect(order).toEqual(["b", "a"]);
});
