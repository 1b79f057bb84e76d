// What the letters that were typed fit, best first: a beginning beats a beginning of a word, which beats letters in order.
export function rank<Item>(items: readonly Item[], text: string, nameOf: (item: Item) => string): Item[] {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return [...items];
  return items
    .map((item, i) => ({ item, i, score: score(nameOf(item).toLowerCase(), wanted) }))
    .filter(({ score: own }) => own > 0)
    .sort((a, b) => b.score - a.score || a.i - b.i)
    .map(({ item }) => item);
}

function score(name: string, wanted: string): number {
  if (name.startsWith(wanted)) return 4;
  if (new RegExp(`[^a-z0-9]${quoteForRegExp(wanted)}`).test(name)) return 3;
  if (name.includes(wanted)) return 2;
  let at = 0;
  for (const letter of wanted) {
    at = name.indexOf(letter, at) + 1;
    if (at === 0) return 0;
  }
  return 1;
}

const quoteForRegExp = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
