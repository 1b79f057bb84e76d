// The SDK's prices against an emulator that others keep. It has no placement scores; those are in prices.test.ts.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MotoServer, startMoto } from "../testing/moto-server.ts";
import { fetchSpotPrices } from "./fetch-ec2.ts";

let moto: MotoServer | string;
const kept = { ...process.env };
beforeAll(async () => {
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test" });
  moto = await startMoto();
}, 180_000);
afterAll(async () => {
  for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]) {
    if (kept[name] === undefined) delete process.env[name];
    else process.env[name] = kept[name];
  }
  if (typeof moto !== "string") await moto?.stop();
});

describe("spot prices from an emulated EC2", () => {
  it("are read for each zone of the region, of the types that were asked for", async (context) => {
    if (typeof moto === "string") return context.skip(moto);
    const options = { region: "us-east-1", endpoint: moto.endpoint, timeoutMs: 20_000 };
    const now = new Date();
    const rows = await fetchSpotPrices(options, ["m5.large"], new Date(now.getTime() - 86_400_000), now, new AbortController().signal);
    expect(rows.length).toBeGreaterThan(1);
    for (const row of rows) {
      expect(row).toMatchObject({ region: "us-east-1", instance_type: "m5.large", origin: moto.endpoint });
      expect(row.zone).toMatch(/^us-east-1[a-f]$/);
      expect(row.usd_per_hour).toBeGreaterThanOrEqual(0);
    }
    expect(await fetchSpotPrices(options, ["no-such.type"], now, now, new AbortController().signal)).toEqual([]);
  });
});
