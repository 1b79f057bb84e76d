/** How good probabilities are: Brier score, log loss, AUROC, precision at an alert rate, and a reliability table. Pairs are (probability, outcome). */
export interface Scored {
  readonly probability: number;
  readonly happened: boolean;
}

export interface Quality {
  readonly rows: number;
  readonly rate: number;
  readonly brier: number;
  readonly logLoss: number;
  /** Chance that a row that happened scores above one that did not; ties count half. NaN with one outcome only. */
  readonly auroc: number;
  /** Share that happened among the rows with the highest scores (the alert rate's share of all; rows tied at the edge count in proportion). */
  readonly precisionAtAlertRate: number;
}

export interface ReliabilityBin {
  readonly rows: number;
  readonly meanProbability: number;
  readonly observed: number;
}

export function measureQuality(scored: readonly Scored[], alertRate: number): Quality {
  const n = scored.length;
  const happened = scored.filter((s) => s.happened).length;
  let brier = 0;
  let logLoss = 0;
  for (const { probability, happened: y } of scored) {
    brier += (probability - (y ? 1 : 0)) ** 2;
    const p = Math.min(1 - 1e-9, Math.max(1e-9, probability));
    logLoss -= y ? Math.log(p) : Math.log1p(-p);
  }
  return {
    rows: n,
    rate: happened / n,
    brier: brier / n,
    logLoss: logLoss / n,
    auroc: auroc(scored, happened),
    precisionAtAlertRate: precisionAt(scored, alertRate),
  };
}

function auroc(scored: readonly Scored[], happened: number): number {
  const others = scored.length - happened;
  if (happened === 0 || others === 0) return Number.NaN;
  let ranks = 0;
  let before = 0;
  for (const tie of tiesDescending(scored).reverse()) {
    const meanRank = before + (tie.rows + 1) / 2;
    ranks += meanRank * tie.happened;
    before += tie.rows;
  }
  return (ranks - (happened * (happened + 1)) / 2) / (happened * others);
}

function precisionAt(scored: readonly Scored[], alertRate: number): number {
  let left = Math.max(1, alertRate * scored.length);
  const wanted = left;
  let hits = 0;
  for (const tie of tiesDescending(scored)) {
    const take = Math.min(left, tie.rows);
    hits += tie.happened * (take / tie.rows);
    left -= take;
    if (left <= 0) break;
  }
  return hits / wanted;
}

function tiesDescending(scored: readonly Scored[]): { rows: number; happened: number }[] {
  const ties = new Map<number, { rows: number; happened: number }>();
  for (const { probability, happened } of scored) {
    const tie = ties.get(probability) ?? { rows: 0, happened: 0 };
    tie.rows++;
    if (happened) tie.happened++;
    ties.set(probability, tie);
  }
  return [...ties.entries()].sort((a, b) => b[0] - a[0]).map(([, tie]) => tie);
}

/** Bins of equal numbers of rows, from the lowest probability to the highest. */
export function reliability(scored: readonly Scored[], bins: number): ReliabilityBin[] {
  const sorted = [...scored].sort((a, b) => a.probability - b.probability);
  return Array.from({ length: bins }, (_, i) => {
    const part = sorted.slice(Math.floor((i * sorted.length) / bins), Math.floor(((i + 1) * sorted.length) / bins));
    const rows = part.length;
    const sum = part.reduce((total, s) => total + s.probability, 0);
    return { rows, meanProbability: sum / rows, observed: part.filter((s) => s.happened).length / rows };
  }).filter((bin) => bin.rows > 0);
}
