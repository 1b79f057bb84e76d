// Spot prices and placement scores of one region, from EC2's own API through the SDK, with the SDK's own credentials. The SDK is loaded when
// something is fetched and not before: it is large.
import { fault } from "@aether/contract";
import type { EC2Client } from "@aws-sdk/client-ec2";
import type { NewRow } from "../db/schema.ts";

export interface Ec2Options {
  readonly region: string;
  readonly endpoint: string | undefined;
  readonly timeoutMs: number;
}

/** Where the numbers come from: the endpoint in words. */
export const ec2Origin = ({ region, endpoint }: Pick<Ec2Options, "region" | "endpoint">): string =>
  endpoint ?? `https://ec2.${region}.amazonaws.com`;

/** A page is at most 1,000 prices; a type has about 100 changes a month and zone. */
const mostPages = 200;

/** Every change of price since a time, Linux/UNIX; the price in force at that time too. Throws UNAVAILABLE, PERMISSION_DENIED. */
export async function fetchSpotPrices(
  options: Ec2Options,
  instanceTypes: readonly string[],
  since: Date,
  now: Date,
  signal: AbortSignal,
): Promise<NewRow<"spot_prices">[]> {
  return withEc2(options, signal, async (client, sdk) => {
    const rows: NewRow<"spot_prices">[] = [];
    let pages = 0;
    let token: string | undefined;
    do {
      const answer = await client.send(
        new sdk.DescribeSpotPriceHistoryCommand({
          InstanceTypes: instanceTypes as import("@aws-sdk/client-ec2")._InstanceType[],
          ProductDescriptions: ["Linux/UNIX"],
          StartTime: since,
          EndTime: now,
          MaxResults: 1000,
          ...(token === undefined ? {} : { NextToken: token }),
        }),
        { abortSignal: signal },
      );
      for (const each of answer.SpotPriceHistory ?? []) {
        const usd = Number(each.SpotPrice);
        const { AvailabilityZone: zone, InstanceType: type, Timestamp: at } = each;
        // Asked for one product; an emulator may not filter, and may call it by its older name, "Linux/UNIX (Amazon VPC)".
        if (each.ProductDescription !== undefined && !each.ProductDescription.startsWith("Linux/UNIX")) continue;
        if (!zone || !type || !at || !(usd >= 0) || !instanceTypes.includes(type)) continue;
        rows.push({
          region: options.region,
          zone,
          instance_type: type,
          at,
          usd_per_hour: usd,
          origin: ec2Origin(options),
          fetched_at: now,
        });
      }
      token = answer.NextToken || undefined;
      pages++;
    } while (token !== undefined && pages < mostPages);
    return rows;
  });
}

/** The placement score of each zone for one instance of each type. EC2 names zones by id; they are turned into this account's names. */
export async function fetchPlacementScores(
  options: Ec2Options,
  instanceTypes: readonly string[],
  now: Date,
  signal: AbortSignal,
): Promise<NewRow<"placement_scores">[]> {
  return withEc2(options, signal, async (client, sdk) => {
    const call = { abortSignal: signal };
    const { AvailabilityZones: zones } = await client.send(new sdk.DescribeAvailabilityZonesCommand({}), call);
    const nameOf = new Map((zones ?? []).flatMap(({ ZoneId: id, ZoneName: name }) => (id && name ? [[id, name] as const] : [])));
    const rows: NewRow<"placement_scores">[] = [];
    for (const type of instanceTypes) {
      const { SpotPlacementScores: scores } = await client.send(
        new sdk.GetSpotPlacementScoresCommand({
          InstanceTypes: [type],
          TargetCapacity: 1,
          SingleAvailabilityZone: true,
          RegionNames: [options.region],
          MaxResults: 30,
        }),
        call,
      );
      for (const { AvailabilityZoneId: id, Region: region, Score: score } of scores ?? []) {
        const zone = id && nameOf.get(id);
        if (!zone || region !== options.region || score === undefined || !(score >= 1 && score <= 10)) continue;
        rows.push({ region: options.region, zone, instance_type: type, score, origin: ec2Origin(options), fetched_at: now });
      }
    }
    return rows;
  });
}

async function withEc2<Result>(
  options: Ec2Options,
  signal: AbortSignal,
  use: (client: EC2Client, sdk: typeof import("@aws-sdk/client-ec2")) => Promise<Result>,
): Promise<Result> {
  const sdk = await import("@aws-sdk/client-ec2");
  const client = new sdk.EC2Client({
    region: options.region,
    maxAttempts: 3,
    requestHandler: { connectionTimeout: options.timeoutMs, requestTimeout: options.timeoutMs },
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
  });
  try {
    return await use(client, sdk);
  } catch (caught) {
    throw signal.aborted ? caught : ec2Fault(caught, options);
  } finally {
    client.destroy();
  }
}

/** The SDK's errors by what the reader can do about them. Their text has no secrets: a code, a sentence, a request id. */
function ec2Fault(caught: unknown, options: Ec2Options): unknown {
  if (!(caught instanceof Error)) return caught;
  const from = ec2Origin(options);
  if (caught.name === "CredentialsProviderError")
    return fault("UNAUTHENTICATED", "no AWS credentials were found", {
      cause: caught,
      hint: "Give the control plane a role, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    });
  if (caught.name === "UnauthorizedOperation" || caught.name === "AuthFailure")
    return fault("PERMISSION_DENIED", `${from} refuses: ${caught.name}`, {
      cause: caught,
      hint: "Allow ec2:DescribeSpotPriceHistory, ec2:DescribeAvailabilityZones and ec2:GetSpotPlacementScores.",
    });
  return fault("UNAVAILABLE", `${from}: ${caught.name} ${caught.message}`.slice(0, 300), { cause: caught });
}
