import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { LinkReader } from "../link/frames.ts";
import type { HelperLine } from "../runtime/events.ts";
import { tellMarks, throughAgent } from "./carrier.ts";

describe("pages that the agents carry", () => {
  it("have arrived when the target says so, pass by pass", async () => {
    const back = new PassThrough();
    const { arrived } = throughAgent(new PassThrough(), "zstd", new LinkReader(back));
    let say: (line: HelperLine) => void = () => undefined;
    const onLine = (listener: typeof say) => {
      say = listener;
    };
    tellMarks({ onLine }, back);
    await new Promise(setImmediate);
    const here: number[] = [];
    for (const pass of [3, 2]) arrived?.(pass).then(() => here.push(pass));
    say({ event: "mark", number: 1 });
    await new Promise(setImmediate);
    expect(here).toEqual([]);
    say({ event: "mark", number: 2 });
    await new Promise(setImmediate);
    expect(here).toEqual([2]);
    back.end(); // whoever waits longer would wait for ever
    await new Promise(setImmediate);
    expect(here).toEqual([2, 3]);
  });

  it("are not waited for where the target is an older one that says nothing", async () => {
    await throughAgent(new PassThrough(), "zstd", new LinkReader(new PassThrough())).arrived?.(7);
    expect(throughAgent(new PassThrough(), "plain").arrived).toBeUndefined();
  });
});
