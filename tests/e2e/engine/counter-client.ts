// A client on one TCP connection: INCR in a closed loop; each answer must be the last plus one. Never reconnects.
import net from "node:net";

export interface CounterClient {
  /** Answers so far. */
  count(): number;
  /** Answers that were not the last plus one. */
  wrong(): number;
  error(): string | undefined;
  /** Resolves when `more` further answers have come; rejects after 60 s: a client that was left alone for long waits long before it asks again. */
  answers(more: number): Promise<void>;
  close(): void;
}

export async function openCounterClient(host: string, port = 6379): Promise<CounterClient> {
  const socket = net.connect({ host, port, noDelay: true });
  let [count, wrong, last] = [0, 0, undefined as number | undefined];
  let error: string | undefined;
  let pending = "";
  const ask = () => socket.write("INCR counter\r\n");
  socket.on("error", (cause) => {
    error ??= cause.message;
  });
  socket.on("close", () => {
    error ??= "closed";
  });
  socket.on("data", (chunk) => {
    pending += chunk.toString();
    const end = pending.indexOf("\r\n");
    if (end < 0) return;
    const value = Number(pending.slice(1, end));
    pending = pending.slice(end + 2);
    if (last !== undefined && value !== last + 1) wrong++;
    last = value;
    count++;
    setTimeout(ask, 1);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  ask();
  return {
    count: () => count,
    wrong: () => wrong,
    error: () => error,
    async answers(more) {
      const goal = count + more;
      for (let waited = 0; count < goal; waited += 20) {
        if (error !== undefined) throw new Error(`the connection broke: ${error}`);
        if (waited > 60_000) throw new Error(`no ${more} further answers within 60 s`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    close() {
      error ??= "closed by the test";
      socket.destroy();
    },
  };
}
