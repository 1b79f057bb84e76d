// The bars of an explained probability. Pure.
import type { RiskContribution } from "@aether/contract/gen/aether/v2/risk_pb";

export interface Bar {
  readonly name: string;
  readonly words: string;
  readonly source: string;
  readonly from: number;
  readonly to: number;
  readonly isTotal: boolean;
}

/** Where one began, each reason from where the last one ended, and where that leads. */
export function barsOf(start: number, contributions: readonly Pick<RiskContribution, "name" | "words" | "points" | "source">[]): Bar[] {
  let at = start;
  const bars: Bar[] = [
    { name: "start", words: "where one begins, knowing nothing of this pool", source: "", from: 0, to: start, isTotal: true },
  ];
  for (const { name, words, points, source } of contributions) {
    bars.push({ name, words, source, from: at, to: at + points, isTotal: false });
    at += points;
  }
  bars.push({ name: "total", words: "together", source: "", from: 0, to: at, isTotal: true });
  return bars;
}
