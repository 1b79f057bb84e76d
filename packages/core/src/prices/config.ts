// Configuration of prices: off unless something is named.
import { z } from "zod";

const httpUrl = z.url({ protocol: /^https?$/, error: "must be an http or https URL" });
const region = z.string().regex(/^[a-z]{2,4}(-[a-z]+)+-\d$/, "must be a region such as us-east-1");

export const pricesConfig = z
  .strictObject({
    /** Spot prices and placement scores from EC2, with the SDK's own credentials. Absent: not fetched. */
    ec2: z
      .strictObject({
        regions: z.array(region).min(1).max(40).describe("Regions whose prices are fetched."),
        endpoint: httpUrl.optional().describe("Another endpoint than AWS's own, for an emulator or a private link."),
        instanceTypes: z
          .array(z.string().regex(/^[a-z0-9-]+\.[a-z0-9-]+$/))
          .max(100)
          .default([])
          .describe("Besides the types of the fleet."),
        everyMs: z.int().min(1_000).max(86_400_000).default(600_000).describe("Fetched so often."),
        historyDays: z.int().min(1).max(90).default(14).describe("How far back the first fetch reads; EC2 keeps 90 days."),
        placementScores: z.boolean().default(true).describe("Placement scores are fetched too."),
      })
      .optional(),
    /** The Spot Advisor's file. Absent: not fetched. */
    advisor: z
      .strictObject({
        url: httpUrl.default("https://spot-bid-advisor.s3.amazonaws.com/spot-advisor-data.json").describe("Where the file is."),
        everyMs: z.int().min(1_000).max(604_800_000).default(21_600_000).describe("Fetched so often."),
        allowPrivateAddresses: z
          .boolean()
          .default(false)
          .describe("For a mirror inside: addresses of private networks are refused otherwise."),
      })
      .optional(),
    onDemandUsdPerHour: z
      .record(region, z.record(z.string(), z.number().positive()))
      .default({})
      .describe('On-demand USD per hour by region and type, e.g. { "us-east-1": { "m5.large": 0.096 } }.'),
    timeoutMs: z.int().min(100).max(120_000).default(20_000).describe("A fetch that takes longer has failed."),
    keepDays: z.int().min(1).max(3_650).default(400).describe("Price changes are kept so long."),
  })
  .prefault({});

export type PricesConfig = z.infer<typeof pricesConfig>;
