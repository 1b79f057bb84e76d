import { expect, it } from "vitest";
import { createOutput } from "./output.ts";

function captured(isJson: boolean) {
  const said = { out: "", err: "" };
  const sink = (key: "out" | "err") => ({
    write(chunk: string | Uint8Array) {
      said[key] += Buffer.from(chunk).toString("latin1");
    },
  });
  return { said, output: createOutput(isJson, { stdout: sink("out"), stderr: sink("err") }) };
}

const title = "\u001b]0;owned\u0007";

it("what came from elsewhere does nothing to the terminal: it is shown", () => {
  const { said, output } = captured(false);
  output.result({}, () => `reason\t${title}\r\nnext \u009b31m`);
  output.say(`error: ${title}`);
  output.stream(`event ${title}\n`);
  expect(said.out).toBe("reason\t\\u001b]0;owned\\u0007\\u000d\nnext \\u009b31m\nevent \\u001b]0;owned\\u0007\n");
  expect(said.err).toBe("error: \\u001b]0;owned\\u0007\n");
});

it("the bytes of a workload's own output, and JSON, go out as they are", () => {
  const { said, output } = captured(false);
  output.stream(Buffer.from(title));
  expect(said.out).toBe(title);
  const json = captured(true);
  json.output.stream(`${JSON.stringify({ title })}\n`);
  expect(JSON.parse(json.said.out)).toEqual({ title });
});
