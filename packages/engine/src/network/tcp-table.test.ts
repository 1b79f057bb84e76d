import { describe, expect, it } from "vitest";
import { parseTcpTable } from "./tcp-table.ts";

const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

describe("parseTcpTable", () => {
  it("reads established connections and what waits to be accepted", () => {
    const text = `${header}   0: 00000000:18EB 00000000:0000 0A 00000000:00000002 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 01014D0A:18EB 01004D0A:D431 01 00000010:00000003 02:000A7214 00000000     0        0 2 2 0 20 4 30 10 -1
   2: 01014D0A:18EB 01004D0A:D432 06 00000000:00000000 03:00000A72 00000000     0        0 0 3 0\n`;
    expect(parseTcpTable(text)).toEqual({
      established: ["10.77.1.1:6379 10.77.0.1:54321"],
      queues: ["10.77.1.1:6379 10.77.0.1:54321 unacknowledged=16 unread=3"],
      waitingToBeAccepted: 2,
    });
  });
  it("is empty for an empty table", () => expect(parseTcpTable(header)).toEqual({ established: [], queues: [], waitingToBeAccepted: 0 }));
});
