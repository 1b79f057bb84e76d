import { createIdentityRequest, openAuthority } from "@aether/kit/identity";
import { afterAll, beforeAll, expect, it } from "vitest";
import { agentClient, type CoreUnderTest, connectAgent, enrol, startCore } from "../testing/core-under-test.ts";

let core: CoreUnderTest;
beforeAll(async () => {
  // Certificates of 10 s: core's own is renewed after 5 s.
  core = await startCore({ identityTtlMs: 10_000, heartbeat: { lostAfterMs: 60_000 } });
}, 90_000);
afterAll(() => core.stop());

it.concurrent("renews core's certificate at half of its life, and the open stream goes on", async () => {
  const identity = await enrol(core, "streams");
  const agent = await connectAgent(core, identity);
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  agent.say({ case: "signal", value: { sequence: 1n, kind: 2, source: "imds" } });
  await agent.hears(({ case: kind }) => kind === "signalAck");
  const { client, close } = agentClient(core, identity);
  const renewed = await client.renewIdentity({ csrPem: (await createIdentityRequest()).csrPem });
  expect(renewed.identity?.spiffeId).toBe("spiffe://test.local/node/streams");
  close();
  await agent.disconnect();
}, 20_000);

it.concurrent("lets an expired certificate renew itself and nothing else; one of another authority may not even that", async () => {
  await enrol(core, "late");
  const authority = await openAuthority(core.dir, { trustDomain: "test.local" });
  const expired = await authority.issueMaterial("spiffe://test.local/node/late", 1_000);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const { csrPem } = await createIdentityRequest();

  const late = agentClient(core, expired);
  expect((await late.client.renewIdentity({ csrPem })).identity?.spiffeId).toBe("spiffe://test.local/node/late");
  await expect(connectAgent(core, expired)).rejects.toThrow();
  late.close();

  const stranger = await (await openAuthority(`${core.dir}/other`, { trustDomain: "test.local" })).issueMaterial(
    "spiffe://test.local/node/late",
    60_000,
  );
  const other = agentClient(core, { ...stranger, trustBundlePem: expired.trustBundlePem });
  await expect(other.client.renewIdentity({ csrPem })).rejects.toMatchObject({ code: 16 });
  other.close();
}, 20_000);
