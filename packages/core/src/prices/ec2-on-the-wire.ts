// For tests: EC2's query API on the wire, as far as prices go, for what the emulator lacks. The SDK that speaks to it is the real one.
import http from "node:http";
import type { AddressInfo } from "node:net";

export interface WirePrice {
  readonly zone: string;
  readonly type: string;
  readonly at: Date;
  readonly usd: string;
  readonly product?: string;
}

export interface Ec2OnTheWire {
  readonly endpoint: string;
  /** Actions with their parameters, in order. */
  readonly calls: Readonly<Record<string, string>>[];
  prices: WirePrice[];
  /** Zone id -> score, for every type. */
  scores: Record<string, number>;
  /** Answered instead of everything. */
  failure: { readonly status: number; readonly code: string } | undefined;
  stop(): Promise<void>;
}

const zones: Readonly<Record<string, string>> = { "us-east-1a": "use1-az4", "us-east-1b": "use1-az6" };
const pageSize = 2;

export async function startEc2OnTheWire(): Promise<Ec2OnTheWire> {
  const calls: Record<string, string>[] = [];
  const state: Pick<Ec2OnTheWire, "prices" | "scores" | "failure"> = { prices: [], scores: {}, failure: undefined };
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const call = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
      calls.push({ ...call, authorization: request.headers.authorization ?? "" });
      response.setHeader("content-type", "text/xml");
      if (state.failure) {
        const { status, code } = state.failure;
        response
          .writeHead(status)
          .end(`<Response><Errors><Error><Code>${code}</Code><Message>no</Message></Error></Errors><RequestID>r</RequestID></Response>`);
      } else response.end(answer(call, state));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(state, {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

function answer(call: Record<string, string>, { prices, scores }: Pick<Ec2OnTheWire, "prices" | "scores">): string {
  const action = call.Action ?? "";
  const wrap = (body: string) =>
    `<${action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>${body}</${action}Response>`;
  const listed = (prefix: string) => Object.entries(call).flatMap(([key, value]) => (key.startsWith(`${prefix}.`) ? [value] : []));
  if (action === "DescribeAvailabilityZones") {
    const items = Object.entries(zones).map(
      ([name, id]) => `<item><zoneName>${name}</zoneName><zoneId>${id}</zoneId><regionName>us-east-1</regionName></item>`,
    );
    return wrap(`<availabilityZoneInfo>${items.join("")}</availabilityZoneInfo>`);
  }
  if (action === "GetSpotPlacementScores") {
    const items = Object.entries(scores).map(
      ([id, score]) => `<item><region>us-east-1</region><availabilityZoneId>${id}</availabilityZoneId><score>${score}</score></item>`,
    );
    return wrap(`<spotPlacementScoreSet>${items.join("")}</spotPlacementScoreSet>`);
  }
  const start = new Date(call.StartTime ?? 0);
  const types = listed("InstanceType");
  const ofTypes = prices.filter(({ type }) => types.includes(type));
  // As EC2 does: changes since the start, and the price that was in force then.
  const inForce = new Map<string, WirePrice>();
  for (const price of ofTypes) if (price.at <= start) inForce.set(`${price.zone} ${price.type}`, price);
  const all = [...inForce.values(), ...ofTypes.filter(({ at }) => at > start)];
  const from = Number(call.NextToken ?? 0);
  const items = all
    .slice(from, from + pageSize)
    .map(
      ({ zone, type, at, usd, product }) =>
        `<item><instanceType>${type}</instanceType><productDescription>${product ?? "Linux/UNIX"}</productDescription><spotPrice>${usd}</spotPrice><timestamp>${at.toISOString()}</timestamp><availabilityZone>${zone}</availabilityZone></item>`,
    );
  const next = from + pageSize < all.length ? `<nextToken>${from + pageSize}</nextToken>` : "<nextToken/>";
  return wrap(`<spotPriceHistorySet>${items.join("")}</spotPriceHistorySet>${next}`);
}
