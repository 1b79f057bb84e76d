/**
 * Reads a provider's status feed: RSS 2.0, Atom or JSON Feed, as text that nobody vouches for. No document types, no entities beyond the five
 * and character references, no markup in results, bounded sizes and counts. It returns plain text items; what they mean is incident.ts.
 */
export interface FeedItem {
  /** The feed's own id, or its link, or its title with the date: what duplicates are told by. */
  readonly id: string;
  readonly title: string;
  readonly text: string;
  /** Unix seconds; undefined where the feed gives none that can be read. */
  readonly publishedSeconds: number | undefined;
}

export const FEED_LIMITS = { bytes: 1_000_000, items: 200, textCharacters: 2000 } as const;

export type FeedResult =
  | { readonly kind: "rss" | "atom" | "json"; readonly items: readonly FeedItem[]; readonly isCut: boolean }
  | { readonly refusal: string };

/** Parses feed text. Never throws: what cannot be read is refused with the reason. */
export function parseFeed(text: string): FeedResult {
  // UTF-8 takes at most three bytes for each UTF-16 unit; the bound on units is the cheap one.
  if (text.length > FEED_LIMITS.bytes) return { refusal: `longer than ${FEED_LIMITS.bytes} characters` };
  const start = text.trimStart();
  if (start.startsWith("{")) return parseJsonFeed(start);
  if (/<!DOCTYPE|<!ENTITY/i.test(text)) return { refusal: "a document type is not allowed" };
  if (/<rss[\s>]/i.test(start)) return parseXml(start, "rss", "item", { id: "guid", link: "link", text: "description", date: "pubDate" });
  if (/<feed[\s>]/i.test(start)) return parseXml(start, "atom", "entry", { id: "id", link: "link", text: "summary", date: "updated" });
  return { refusal: "neither RSS, Atom nor JSON Feed" };
}

interface Names {
  readonly id: string;
  readonly link: string;
  readonly text: string;
  readonly date: string;
}

function parseXml(text: string, kind: "rss" | "atom", itemTag: string, names: Names): FeedResult {
  const items: FeedItem[] = [];
  const open = `<${itemTag}`;
  const close = `</${itemTag}>`;
  let at = 0;
  // Plain searches from left to right: linear, whatever the text holds.
  for (;;) {
    const from = text.indexOf(open, at);
    if (from < 0) return { kind, items, isCut: false };
    const to = text.indexOf(close, from);
    if (to < 0) return { kind, items, isCut: false };
    at = to + close.length;
    if (!/[\s>]/.test(text[from + open.length] ?? "")) continue;
    if (items.length >= FEED_LIMITS.items) return { kind, items, isCut: true };
    const body = text.slice(from, to);
    const field = (tag: string): string => plainText(elementText(body, tag));
    const title = field("title");
    const date = elementText(body, names.date) || elementText(body, "published");
    items.push(
      itemOf({
        id: field(names.id) || field(names.link) || attribute(body, names.link, "href"),
        title,
        text: field(names.text) || field("content"),
        date: plainText(date),
      }),
    );
  }
}

function parseJsonFeed(text: string): FeedResult {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { refusal: "not JSON" };
  }
  const list = (parsed as { items?: unknown }).items;
  if (!Array.isArray(list)) return { refusal: "a JSON feed has a list of items" };
  const string = (x: unknown): string => (typeof x === "string" ? x : typeof x === "number" ? String(x) : "");
  const items = list.slice(0, FEED_LIMITS.items).flatMap((raw: unknown): FeedItem[] => {
    if (typeof raw !== "object" || raw === null) return [];
    const item = raw as Record<string, unknown>;
    return [
      itemOf({
        id: plainText(string(item.id) || string(item.url)),
        title: plainText(string(item.title)),
        text: plainText(string(item.content_text) || string(item.summary) || string(item.content_html)),
        date: string(item.date_modified) || string(item.date_published),
      }),
    ];
  });
  return { kind: "json", items, isCut: list.length > FEED_LIMITS.items };
}

function itemOf(raw: { id: string; title: string; text: string; date: string }): FeedItem {
  const at = Date.parse(raw.date);
  const cut = (x: string): string => x.slice(0, FEED_LIMITS.textCharacters);
  return {
    id: cut(raw.id || `${raw.title} ${raw.date}`),
    title: cut(raw.title),
    text: cut(raw.text),
    publishedSeconds: Number.isFinite(at) ? at / 1000 : undefined,
  };
}

/** Text between the first `<tag ...>` and `</tag>`, still as markup; empty when absent. */
function elementText(body: string, tag: string): string {
  let from = body.indexOf(`<${tag}`);
  while (from >= 0 && !/[\s>/]/.test(body[from + tag.length + 1] ?? "")) from = body.indexOf(`<${tag}`, from + 1);
  const open = from < 0 ? -1 : body.indexOf(">", from);
  if (open < 0 || body[open - 1] === "/") return "";
  const close = body.indexOf(`</${tag}>`, open);
  return close < 0 ? "" : body.slice(open + 1, close);
}

function attribute(body: string, tag: string, name: string): string {
  const from = body.indexOf(`<${tag} `);
  const end = from < 0 ? -1 : body.indexOf(">", from);
  const value = end < 0 ? undefined : body.slice(from, end).split(`${name}="`)[1]?.split('"')[0];
  return plainText(value ?? "");
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** Removes CDATA marks and tags, resolves the five entities and character references, and drops control characters. */
export function plainText(markup: string): string {
  const unwrapped = markup.replaceAll("<![CDATA[", "").replaceAll("]]>", "");
  const decoded = stripTags(unwrapped).replace(
    /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(amp|lt|gt|quot|apos));/gi,
    (whole, decimal?: string, hex?: string, name?: string) => {
      if (name !== undefined) return ENTITIES[name.toLowerCase()] ?? whole;
      const code = decimal !== undefined ? Number(decimal) : Number.parseInt(hex ?? "", 16);
      return code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff) ? String.fromCodePoint(code) : "";
    },
  );
  // Escaped markup becomes markup by decoding: strip once more, then no angle bracket is left.
  const printable = [...stripTags(decoded)].map((char) => (isControl(char) ? " " : char)).join("");
  return printable.replaceAll("<", "").replaceAll(">", "").replace(/\s+/g, " ").trim();
}

const isControl = (char: string): boolean => {
  const code = char.codePointAt(0) ?? 0;
  return code < 32 || (code >= 127 && code < 160) || (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
};

function stripTags(text: string): string {
  let out = "";
  let at = 0;
  for (;;) {
    const open = text.indexOf("<", at);
    if (open < 0) return out + text.slice(at);
    const close = text.indexOf(">", open);
    if (close < 0) return out + text.slice(at, open);
    out += `${text.slice(at, open)} `;
    at = close + 1;
  }
}
