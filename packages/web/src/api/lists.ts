// Lists come in pages; a view that shows all of them reads on until there is no more, up to a limit that it says.
interface Page {
  readonly nextPageToken: string;
}

export async function everyPage<Answer extends Page, Item>(
  read: (page: { pageSize: number; pageToken: string }) => Promise<Answer>,
  itemsOf: (answer: Answer) => readonly Item[],
  atMost: number,
  /** The first page, where more is read after it. */
  onFirst?: (found: Item[]) => void,
): Promise<Item[]> {
  const found: Item[] = [];
  for (let pageToken = ""; ; ) {
    const answer = await read({ pageSize: Math.min(1000, atMost), pageToken });
    found.push(...itemsOf(answer));
    if (answer.nextPageToken === "" || found.length >= atMost) return found.slice(0, atMost);
    if (pageToken === "") onFirst?.([...found]);
    pageToken = answer.nextPageToken;
  }
}
