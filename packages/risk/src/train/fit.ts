/**
 * Complementary log-log regression by Newton's method: P(event) = 1 - exp(-exp(a + b.x)). The likelihood is concave, the ridge makes it strictly
 * so, and nothing is drawn at random: the same rows in the same order give the same bits. Coefficients whose sign would contradict what
 * the input means are held at a small value of the right sign and named in the manifest.
 */
export interface FitInput {
  /** [row][feature], standardised; missing as 0. */
  readonly x: readonly Float64Array[];
  readonly y: Uint8Array;
  readonly ridge: number;
  readonly signs: readonly (-1 | 0 | 1)[];
}

export interface Fit {
  readonly intercept: number;
  readonly coefficient: number[];
  /** Indices of features held at HELD times their sign. */
  readonly held: number[];
}

/** What a coefficient is held at when the data would give it the wrong sign: small, but enough that the input can change an outcome. */
export const HELD = 0.02;
const MOST_STEPS = 60;

export function fitHazard(input: FitInput): Fit {
  const held = new Set<number>();
  for (;;) {
    const beta = newton(input, held);
    const wrong = input.signs.flatMap((sign, j) => (sign !== 0 && !held.has(j) && (beta[j + 1] as number) * sign < HELD ? [j] : []));
    if (wrong.length === 0) return { intercept: beta[0] as number, coefficient: [...beta.slice(1)], held: [...held].sort((a, b) => a - b) };
    for (const j of wrong) held.add(j);
  }
}

function newton({ x, y, ridge, signs }: FitInput, held: ReadonlySet<number>): Float64Array {
  const n = signs.length + 1;
  const beta = new Float64Array(n);
  const rate = (y.reduce((sum, v) => sum + v, 0) + 0.5) / (y.length + 1);
  beta[0] = Math.log(-Math.log1p(-Math.min(0.999, rate)));
  for (const j of held) beta[j + 1] = HELD * (signs[j] ?? 0);
  const free = Array.from({ length: n }, (_, i) => i).filter((i) => i === 0 || !held.has(i - 1));
  for (let step = 0; step < MOST_STEPS; step++) {
    const gradient = new Float64Array(n);
    const hessian = new Float64Array(n * n);
    const row = new Float64Array(n);
    row[0] = 1;
    for (let i = 0; i < x.length; i++) {
      const xi = x[i] as Float64Array;
      let eta = beta[0] as number;
      for (let j = 1; j < n; j++) {
        row[j] = xi[j - 1] as number;
        eta += (beta[j] as number) * (row[j] as number);
      }
      const hazard = Math.exp(Math.min(eta, 5));
      const p = Math.min(1 - 1e-12, Math.max(1e-12, -Math.expm1(-hazard)));
      // Score and expected information of the complementary log-log link.
      const slope = hazard * (1 - p);
      const score = ((y[i] as number) - p) * (slope / (p * (1 - p)));
      const weight = (slope * slope) / (p * (1 - p));
      for (const a of free) {
        gradient[a] = (gradient[a] as number) + score * (row[a] as number);
        for (const b of free)
          if (b <= a) hessian[a * n + b] = (hessian[a * n + b] as number) + weight * (row[a] as number) * (row[b] as number);
      }
    }
    for (const a of free) {
      if (a === 0) continue;
      gradient[a] = (gradient[a] as number) - ridge * (beta[a] as number);
      hessian[a * n + a] = (hessian[a * n + a] as number) + ridge;
    }
    const change = solve(hessian, gradient, n, free);
    let largest = 0;
    for (const a of free) {
      const move = Math.min(2, Math.max(-2, change[a] as number));
      beta[a] = (beta[a] as number) + move;
      largest = Math.max(largest, Math.abs(move));
    }
    if (largest < 1e-9) break;
  }
  return beta;
}

/** Cholesky solve of the symmetric system over the free indices (lower triangle given). */
function solve(matrix: Float64Array, right: Float64Array, n: number, free: readonly number[]): Float64Array {
  const m = free.length;
  const low = new Float64Array(m * m);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[(free[i] as number) * n + (free[j] as number)] as number;
      for (let k = 0; k < j; k++) sum -= (low[i * m + k] as number) * (low[j * m + k] as number);
      low[i * m + j] = i === j ? Math.sqrt(Math.max(sum, 1e-12)) : sum / (low[j * m + j] as number);
    }
  }
  const half = new Float64Array(m);
  for (let i = 0; i < m; i++) {
    let sum = right[free[i] as number] as number;
    for (let k = 0; k < i; k++) sum -= (low[i * m + k] as number) * (half[k] as number);
    half[i] = sum / (low[i * m + i] as number);
  }
  const out = new Float64Array(n);
  for (let i = m - 1; i >= 0; i--) {
    let sum = half[i] as number;
    for (let k = i + 1; k < m; k++) sum -= (low[k * m + i] as number) * (out[free[k] as number] as number);
    out[free[i] as number] = sum / (low[i * m + i] as number);
  }
  return out;
}
