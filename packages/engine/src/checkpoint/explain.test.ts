import { describe, expect, it } from "vitest";
import { explainLog } from "./explain.ts";

describe("explainLog", () => {
  it("says in plain words what is known, and keeps the line", () => {
    const log =
      "(00.1) rlimit: Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self\n(00.2) Error (criu/sk-inet.c:191): inet: In-flight connection (l) for 5b\n";
    const found = explainLog(log);
    expect(found.message).toContain("was being accepted");
    expect(found.lines).toHaveLength(1);
  });
  it("gives the first error of an unknown failure", () =>
    expect(explainLog("(00.2)   7: Error (criu/x.c:1): what nobody has seen\n").message).toContain("what nobody has seen"));
  it("says nothing where no error is", () =>
    expect(explainLog("(00.1) Dumping finished successfully\n")).toEqual({ message: "", mend: "", lines: [] }));
});
