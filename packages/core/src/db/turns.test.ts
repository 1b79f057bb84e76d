import { describe, expect, it } from "vitest";
import { createTurns } from "./turns.ts";

describe("turns", () => {
  it("go first to what cannot wait, and to the others after so many of those", async () => {
    const turns = createTurns(1);
    const order: string[] = [];
    const first = await turns.take(false);
    const work = (name: string, isUrgent: boolean) =>
      turns.take(isUrgent).then((done) => {
        order.push(name);
        done();
      });
    const all = [work("page", false), work("row", false), ...Array.from({ length: 25 }, (_, i) => work(`signal${i}`, true))];
    first();
    first(); // giving back twice gives nothing
    await Promise.all(all);
    expect(order.slice(0, 2)).toEqual(["signal0", "signal1"]);
    expect(order.indexOf("page")).toBe(20);
    expect(order.indexOf("row")).toBe(26);
  });

  it("are as many as there are places", async () => {
    const turns = createTurns(2);
    const [one] = [await turns.take(false), await turns.take(false)];
    let isThird = false;
    const third = turns.take(true).then((done) => {
      isThird = true;
      done();
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isThird).toBe(false);
    one?.();
    await third;
  });
});
