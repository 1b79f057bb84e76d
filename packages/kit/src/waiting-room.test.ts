import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { silentLogger } from "./log.ts";
import { createWaitingRoom } from "./waiting-room.ts";

describe("a waiting room", () => {
  it("who fills it pushes itself out, oldest first, and never somebody who has fewer waiting", () => {
    const room = createWaitingRoom(3, silentLogger);
    const gone: string[] = [];
    const enter = (who: string, name: string) => room.enter(who, { destroy: () => gone.push(name) });
    enter("honest", "h1");
    const leave = enter("flood", "f1");
    for (const name of ["f2", "f3", "f4"]) enter("flood", name);
    expect(gone).toEqual(["f1", "f2"]);
    leave(); // it was pushed out before
    expect(room.size).toBe(3);
  });

  it("never holds more than it may, whoever comes and goes; who has left is not ended", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), fc.boolean()), { maxLength: 60 }), (steps) => {
        const room = createWaitingRoom(5, silentLogger);
        const inside: { leave: () => void; isEnded: boolean; hasLeft: boolean }[] = [];
        for (const [who, leaves] of steps) {
          if (leaves) {
            const one = inside.find((each) => !each.isEnded && !each.hasLeft);
            if (one !== undefined) {
              one.leave();
              one.hasLeft = true;
            }
            continue;
          }
          const state = { isEnded: false, hasLeft: false };
          const destroy = () => {
            expect(state.hasLeft).toBe(false);
            state.isEnded = true;
          };
          inside.push(Object.assign(state, { leave: room.enter(String(who), { destroy }) }));
        }
        expect(room.size).toBe(inside.filter((each) => !each.isEnded && !each.hasLeft).length);
        expect(room.size).toBeLessThanOrEqual(5);
      }),
    );
  });
});
