// Lists come in pages; a command shows all of them, up to a limit that keeps a mistake from filling the terminal.

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextPageToken: string;
}

/** Asks page after page until there is none, or `limit` items are there. */
export async function everyPage<Item>(
  ask: (page: { pageSize: number; pageToken: string }) => Promise<Page<Item>>,
  limit = 10_000,
): Promise<Item[]> {
  const items: Item[] = [];
  for (let pageToken = ""; ; ) {
    const page = await ask({ pageSize: Math.min(500, limit - items.length), pageToken });
    items.push(...page.items);
    pageToken = page.nextPageToken;
    if (pageToken === "" || page.items.length === 0 || items.length >= limit) return items.slice(0, limit);
  }
}
