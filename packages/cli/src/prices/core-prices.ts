// The control plane's own price tables over its API, as the price book that savings and backtest read; with the losses that it has recorded.
import { fault } from "@aether/contract";
import { PriceService } from "@aether/contract/gen/aether/v2/price_pb";
import type { PoolKey, PriceBook, PriceOrigin, PriceStep, Sourced } from "@aether/risk";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Core } from "../client.ts";

export interface CorePrices {
  readonly book: PriceBook;
  readonly fromMs: number;
  readonly toMs: number;
  /** When instances of a pool were lost, ms, oldest first. */
  losses(pool: PoolKey): readonly number[];
}

export interface PoolChoice {
  readonly hours: number;
  readonly region?: string | undefined;
  readonly instanceType?: string | undefined;
}

/** As far back as GetPriceHistory answers. */
export const MOST_HOURS = 9600;
const askedAtOnce = 8;

interface PoolHistory {
  readonly steps: readonly PriceStep[];
  readonly losses: readonly number[];
  readonly spotSource: PriceOrigin | undefined;
  readonly onDemand: Sourced<number> | undefined;
  readonly band: Sourced<number> | undefined;
}

const nameOf = ({ region, zone, instanceType }: PoolKey): string => `pool/${region}/${zone}/${instanceType}`;

/** Throws INVALID_ARGUMENT when no pool that was asked for has a price. */
export async function readCorePrices(core: Core, { hours, region, instanceType }: PoolChoice, signal: AbortSignal): Promise<CorePrices> {
  const client = core.client(PriceService);
  const call = { signal, timeoutMs: 30_000 };
  const toMs = Date.now();
  const { pools: all } = await client.listPools({}, call);
  const asked = all.filter((pool) => (region ?? pool.region) === pool.region && (instanceType ?? pool.instanceType) === pool.instanceType);
  const histories = new Map<string, PoolHistory>();
  const waiting = [...asked];
  const read = async (): Promise<void> => {
    for (let pool = waiting.shift(); pool !== undefined; pool = waiting.shift()) {
      const history = await client.getPriceHistory({ pool: pool.name, hours }, call);
      const originOf = (isIt: (name: string) => boolean): PriceOrigin | undefined => {
        const source = [...history.sources, ...pool.sources].find(({ name }) => isIt(name));
        return (
          source && {
            source: source.name,
            origin: source.origin,
            fetchedAt: new Date(source.fetchedAt ? timestampMs(source.fetchedAt) : 0),
          }
        );
      };
      const sourced = (value: number | undefined, origin: PriceOrigin | undefined): Sourced<number> | undefined =>
        value === undefined || origin === undefined ? undefined : { value, ...origin };
      histories.set(pool.name, {
        steps: history.points.map(({ at, spotUsdPerHour }) => ({ atMs: at ? timestampMs(at) : 0, usdPerHour: spotUsdPerHour })),
        losses: history.losses.map(timestampMs),
        spotSource: originOf((name) => name === "DescribeSpotPriceHistory"),
        onDemand: sourced(
          history.onDemandUsdPerHour,
          originOf((name) => name === "configured") ?? originOf((name) => name === "spot-advisor"),
        ),
        band: sourced(
          pool.advisorBand,
          originOf((name) => name === "spot-advisor"),
        ),
      });
    }
  };
  await Promise.all(Array.from({ length: askedAtOnce }, read));
  const pools: PoolKey[] = asked
    .filter(({ name }) => (histories.get(name)?.steps.length ?? 0) > 0)
    .map((pool) => ({ region: pool.region, zone: pool.zone, instanceType: pool.instanceType }));
  if (pools.length === 0)
    throw fault("INVALID_ARGUMENT", "the control plane has no spot price of what was asked for", {
      hint: "`aether prices` shows what it has; prices come when they are configured (docs/concepts/risk.md#prices-and-feeds). --traces runs over files instead.",
    });
  const of = (pool: PoolKey): PoolHistory | undefined => histories.get(nameOf(pool));
  const firstMs = Math.min(...pools.map((pool) => of(pool)?.steps[0]?.atMs ?? toMs));
  return {
    book: {
      pools,
      spot: (pool) => of(pool)?.steps ?? [],
      spotSource: (pool) => of(pool)?.spotSource,
      onDemand: (pool) => of(pool)?.onDemand,
      onDemandSteps(pool) {
        const price = of(pool)?.onDemand;
        return price === undefined ? [] : [{ atMs: Number.NEGATIVE_INFINITY, usdPerHour: price.value }];
      },
      advisorBand: (pool) => of(pool)?.band,
    },
    fromMs: Math.max(firstMs, toMs - hours * 3_600_000),
    toMs,
    losses: (pool) => of(pool)?.losses ?? [],
  };
}
