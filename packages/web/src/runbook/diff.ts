// What differs between two texts, line by line: the longest common subsequence, which is what people expect of a few hundred lines. Pure.
export interface Line {
  readonly is: "same" | "gone" | "new";
  readonly text: string;
}

export function diffLines(before: string, after: string): Line[] {
  const [old, now] = [before.split("\n"), after.split("\n")];
  // common[i][j]: how many lines the rests from i and from j have in common, in order.
  const common: number[][] = Array.from({ length: old.length + 1 }, () => new Array<number>(now.length + 1).fill(0));
  const at = (i: number, j: number) => common[i]?.[j] ?? 0;
  for (let i = old.length - 1; i >= 0; i--) {
    const row = common[i];
    if (row === undefined) continue;
    for (let j = now.length - 1; j >= 0; j--) row[j] = old[i] === now[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  }
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      lines.push({ is: "same", text: old[i] ?? "" });
      i++;
      j++;
    } else if (j >= now.length || (i < old.length && at(i + 1, j) >= at(i, j + 1))) lines.push({ is: "gone", text: old[i++] ?? "" });
    else lines.push({ is: "new", text: now[j++] ?? "" });
  }
  return lines;
}

/** Only what differs, with so many lines around it; a number stands for as many lines that are left out. */
export function withContext(lines: readonly Line[], around: number): (Line | number)[] {
  const isNear = (i: number) => lines.slice(Math.max(0, i - around), i + around + 1).some(({ is }) => is !== "same");
  const shown: (Line | number)[] = [];
  for (const [i, line] of lines.entries()) {
    const last = shown.at(-1);
    if (isNear(i)) shown.push(line);
    else if (typeof last === "number") shown[shown.length - 1] = last + 1;
    else shown.push(1);
  }
  return shown;
}
