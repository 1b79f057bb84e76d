// Configuration of provider feeds: none, unless some are named.
import { z } from "zod";

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,39}$/, "must be a DNS label");
const httpUrl = z.url({ protocol: /^https?$/, error: "must be an http or https URL" });

export const feedsConfig = z
  .strictObject({
    /** Status feeds: RSS, Atom or JSON Feed. None: nothing is fetched. */
    sources: z
      .array(z.strictObject({ name, url: httpUrl }))
      .max(50)
      .refine((sources) => new Set(sources.map((source) => source.name)).size === sources.length, "names must differ")
      .default([])
      .describe("Status feeds of providers; none by default."),
    everyMs: z.int().min(1_000).max(86_400_000).default(300_000).describe("Fetched so often."),
    timeoutMs: z.int().min(100).max(60_000).default(10_000).describe("A fetch that takes longer has failed."),
    allowPrivateAddresses: z
      .boolean()
      .default(false)
      .describe("Addresses of this machine and of private networks are refused, unless this is set: a feed's name may point anywhere."),
    keepDays: z.int().min(1).max(365).default(7).describe("Resolved incidents are kept so long."),
  })
  .prefault({});

export type FeedsConfig = z.infer<typeof feedsConfig>;
