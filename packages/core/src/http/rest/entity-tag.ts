// Entity tags (RFC 9110, 8.8.3 and 13.1). Of a plain answer: a digest of it as it is sent. Of a resource that can be changed: two digests with a dot between
// them, of what somebody set or decided, and of the whole. A reader is told 304 by the whole; a change is compared by the first half alone, since a
// node's heartbeat between the look and the click is no reason to refuse the click.
import { createHash } from "node:crypto";
import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import { withoutObserved, withoutSecrets } from "../redact.ts";

const digest = (text: string, length: number): string => createHash("sha256").update(text).digest("base64url").slice(0, length);

export const entityTag = (text: string): string => `"${digest(text, 27)}"`;

/** @param message the answer of the reading, of the type `type`. The same over every protocol. */
export function resourceTag<Desc extends DescMessage>(type: Desc, message: MessageShape<Desc>): string {
  const shown = withoutSecrets(type, message);
  const text = (each: MessageShape<Desc>) => JSON.stringify(toJson(type, each, { alwaysEmitImplicit: true }));
  return `"${digest(text(withoutObserved(type, shown)), 20)}.${digest(text(shown), 20)}"`;
}

const listed = (header: string): string[] => header.split(",").map((each) => each.trim());

/** If-None-Match: is `tag` among those that the reader has? A weak one, from a cache in between, counts as the same. */
export const isKnown = (header: string, tag: string): boolean =>
  header.trim() === "*" || listed(header).some((each) => each === tag || each === `W/${tag}`);

const settings = (tag: string): string => tag.split(".")[0] ?? tag;

/** If-Match: is what somebody set still what one of these tags says? Weak ones never fit. */
export const isUnchanged = (header: string, tag: string): boolean =>
  header.trim() === "*" || listed(header).some((each) => settings(each) === settings(tag));
