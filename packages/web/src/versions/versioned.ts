import type { Timestamp } from "@bufbuild/protobuf/wkt";

/** What is changed by setting a new version of it. */
export interface Versioned {
  readonly version: number;
  readonly changedBy: string;
  readonly changedAt?: Timestamp | undefined;
}

/** The page of one, at an address of its own; `?version=` shows an older one. */
export type VersionedPage = "/policies/$name" | "/runbooks/$name";
