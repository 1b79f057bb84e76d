// Pages that are written by hand have places that a measurement writes.

/** Puts `body` between the two comments in `text` that name `writer`. @throws Error where the text has no place for it */
export function putBetween(text: string, writer: string, body: string): string {
  const [begin, end] = [`<!-- begin of what ${writer} writes -->`, `<!-- end of what ${writer} writes -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`no "${begin}" with "${end}" after it`);
  return `${text.slice(0, from + begin.length)}\n${body}\n${text.slice(to)}`;
}
