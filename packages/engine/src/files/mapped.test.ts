import { expect, it } from "vitest";
import { sharedFileMappings } from "./mapped.ts";

it("finds files that are written through memory, and nothing else", () => {
  const maps = `
7f0000000000-7f0000008000 rw-s 00000000 00:2a 77                         /tmp/hsperfdata_root/1
7f0000010000-7f0000018000 rw-s 00008000 00:2a 77                         /tmp/hsperfdata_root/1
7f0000020000-7f0000028000 r--s 00000000 00:2a 78                         /srv/read only
7f0000030000-7f0000038000 rw-p 00000000 00:2a 79                         /usr/lib/libc.so
7f0000040000-7f0000048000 rw-s 00000000 00:01 80                         /dev/zero (deleted)
7f0000050000-7f0000058000 rw-s 00000000 00:1b 81                         /dev/shm/PostgreSQL.1
7f0000060000-7f0000068000 rw-s 00000000 00:01 82                         /SYSV0052e2c1 (deleted)
7f0000070000-7f0000078000 rw-s 00000000 00:01 83                         /memfd:x (deleted)
7f0000080000-7f0000088000 rw-s 00000000 00:2a 84                         /srv/data base/lock.mdb
7f0000090000-7f0000098000 rw-s 00000000 00:2a 85                         /srv/gone (deleted)
7f00000a0000-7f00000a8000 rw-p 00000000 00:00 0 
`;
  expect(sharedFileMappings(maps).map(({ file }) => file)).toEqual(["/tmp/hsperfdata_root/1", "/srv/data base/lock.mdb"]);
});
