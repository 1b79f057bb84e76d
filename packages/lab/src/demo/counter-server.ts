// The demo's workload where redis is not installed: a small stateful TCP server. It counts in memory only, so a counter that goes on after a
// move proves that the memory moved. Speaks RESP: PING, INCR KEY, GET KEY, SET KEY VALUE.
import { createServer, type Server } from "node:net";
import { createRespReader, encodeReply, type Reply, RespError } from "./resp.ts";

/** Not yet listening: the caller binds it. */
export function createCounterServer(): Server {
  const values = new Map<string, string>();
  return createServer({ noDelay: true }, (socket) => {
    const reader = createRespReader();
    socket.on("error", () => socket.destroy()); // the client is gone; its state is not ours to keep
    socket.on("data", (chunk) => {
      try {
        for (const command of reader.push(chunk)) socket.write(encodeReply(answer(values, command)));
      } catch {
        socket.end(encodeReply(new RespError("ERR Protocol error")));
      }
    });
  });
}

function answer(values: Map<string, string>, command: Reply): Reply {
  const words = Array.isArray(command) && command.every((word) => typeof word === "string") ? command : [];
  const [name = "", key, value] = words;
  switch (name.toUpperCase()) {
    case "PING":
      return "PONG";
    case "INCR": {
      if (key === undefined || words.length !== 2) break;
      const next = Number(values.get(key) ?? "0") + 1;
      if (!Number.isSafeInteger(next)) return new RespError("ERR value is not an integer or out of range");
      values.set(key, String(next));
      return next;
    }
    case "GET":
      if (key === undefined || words.length !== 2) break;
      return values.get(key) ?? null;
    case "SET":
      if (key === undefined || value === undefined || words.length !== 3) break;
      values.set(key, value);
      return "OK";
    default:
      return new RespError(`ERR unknown command '${name.slice(0, 40)}'`);
  }
  return new RespError(`ERR wrong number of arguments for '${name.toLowerCase()}' command`);
}
