// Pages of lists: a cursor is the key of the last row seen, base64url, so that rows that come or go between pages shift nothing.

import { fault } from "@aether/contract";
import type { PageRequest } from "@aether/contract/gen/aether/v2/common_pb";

export interface Page {
  readonly limit: number;
  /** Key of the last row of the page before; undefined on the first page. */
  readonly after: string | undefined;
}

/** Throws INVALID_ARGUMENT. */
export function parsePage(page: PageRequest | undefined): Page {
  const size = page?.pageSize ?? 0;
  if (size < 0 || size > 1000) throw fault("INVALID_ARGUMENT", `page.page_size is 1 to 1000, not ${size}`, { field: "page.page_size" });
  const token = page?.pageToken ?? "";
  if (!/^[A-Za-z0-9_-]{0,400}$/.test(token))
    throw fault("INVALID_ARGUMENT", "page.page_token is not one of ours", { field: "page.page_token" });
  const after = token === "" ? undefined : Buffer.from(token, "base64url").toString("utf8");
  if (after !== undefined && !/^[\x20-\x7e]{1,300}$/.test(after)) {
    throw fault("INVALID_ARGUMENT", "page.page_token is not one of ours", { field: "page.page_token" });
  }
  return { limit: size === 0 ? 100 : size, after };
}

/** As `parsePage`, for lists whose key is a number. 0 on the first page. */
export function parseNumberPage(page: PageRequest | undefined): { readonly limit: number; readonly after: number } {
  const { limit, after } = parsePage(page);
  if (after === undefined) return { limit, after: 0 };
  if (!/^\d{1,15}$/.test(after)) throw fault("INVALID_ARGUMENT", "page.page_token is not one of ours", { field: "page.page_token" });
  return { limit, after: Number(after) };
}

/** Rows were asked for with one more than the limit: whether there is a next page is then known without counting. */
export function cutPage<Row>(
  rows: readonly Row[],
  limit: number,
  keyOf: (row: Row) => string | number,
): { rows: Row[]; nextPageToken: string } {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const hasMore = rows.length > limit && last !== undefined;
  return { rows: shown, nextPageToken: hasMore ? Buffer.from(String(keyOf(last))).toString("base64url") : "" };
}
