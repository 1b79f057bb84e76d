// A node's token on its way: whoever reads it may speak for the node, so it is taken only where nobody can.
import { AgentService } from "@aether/contract/gen/aether/v2/agent_pb";
import { createContextValues, type HandlerContext } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { callerKey } from "../http/caller.ts";
import { faultOf } from "../http/error-body.ts";
import { originKey, originOf } from "../http/origin.ts";
import { createGate } from "./gate.ts";

const free = { take: () => 0 } as never;

async function enter(
  socket: { remoteAddress: string; encrypted?: boolean },
  nodeTokensWithoutTls = false,
  headers: Record<string, string> = {},
) {
  const entries: unknown[] = [];
  const gate = createGate({
    tokens: { authenticate: async () => ({ id: "t", name: "n1", role: "agent", nodeId: "n1" }) } as never,
    sessions: { authenticate: async () => undefined },
    audit: { record: async (entry: unknown) => void entries.push(entry) } as never,
    perToken: free,
    perAddress: free,
    denials: free,
    nodeTokensWithoutTls,
    count: () => undefined,
  });
  const values = createContextValues().set(originKey, originOf({ headers, socket }));
  const requestHeader = new Headers({ authorization: `Bearer at_${"x".repeat(43)}` });
  const context = { values, requestHeader, responseHeader: new Headers(), method: AgentService.method.heartbeat, service: AgentService };
  const code = await gate(context as unknown as HandlerContext).then(
    () => "in",
    (caught: unknown) => faultOf(caught).code,
  );
  return { code, nodeId: values.get(callerKey)?.nodeId, entries };
}

it.each([
  ["over TLS", { remoteAddress: "10.0.0.7", encrypted: true }],
  ["over the loopback", { remoteAddress: "127.0.0.1" }],
  ["over the loopback of IPv6", { remoteAddress: "::ffff:127.0.0.1" }],
])("the token of a node is taken %s", async (_, socket) => {
  expect(await enter(socket)).toMatchObject({ code: "in", nodeId: "n1", entries: [] });
});

it("the token of a node is refused, and that is on the audit log, where it came in the clear", async () => {
  expect(await enter({ remoteAddress: "10.0.0.7" })).toMatchObject({
    code: "PERMISSION_DENIED",
    nodeId: undefined,
    entries: [{ actor: "node/n1", action: "access.denied", outcome: "denied" }],
  });
  // A proxy on this machine says how it was asked.
  expect((await enter({ remoteAddress: "127.0.0.1" }, false, { "x-forwarded-proto": "http" })).code).toBe("PERMISSION_DENIED");
  expect((await enter({ remoteAddress: "127.0.0.1" }, false, { "x-forwarded-proto": "https" })).code).toBe("in");
  expect((await enter({ remoteAddress: "10.0.0.7" }, true)).code).toBe("in");
});
