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
      .default([]),
    everyMs: z.int().min(1_000).max(86_400_000).default(300_000),
    timeoutMs: z.int().min(100).max(60_000).default(10_000),
    /** Addresses of this machine and of private networks are refused, unless this is set: a feed's name may point anywhere. */
    allowPrivateAddresses: z.boolean().default(false),
    keepDays: z.int().min(1).max(365).default(7),
  })
  .prefault({});

export type FeedsConfig = z.infer<typeof feedsConfig>;
