// Clients that never reconnect: each keeps its one connection through every move and checks every answer.
import { connect, type Socket } from "node:net";
import { until } from "@aether/kit";

export interface Client {
  /** Answers so far. */
  count(): number;
  /** What went wrong first; undefined while nothing has. */
  problem(): string | undefined;
  close(): void;
}

/** Says a line, expects the number of the lines that it has said, in a closed loop with `pauseMs` in between; -1: only when `ask` is called. */
export async function openLineClient(host: string, port: number, pauseMs: number): Promise<Client & { ask(): void }> {
  const socket = await open(host, port);
  let [count, pending] = [0, ""];
  let problem: string | undefined;
  let isClosed = false;
  const ask = () => {
    if (!isClosed) socket.write("?\n");
  };
  socket.on("error", (cause) => {
    problem ??= cause.message;
  });
  socket.on("close", () => {
    if (!isClosed) problem ??= "the connection was closed";
  });
  socket.on("data", (chunk) => {
    const lines = (pending + chunk.toString()).split("\n");
    pending = lines.pop() ?? "";
    for (const line of lines) {
      if (Number(line) !== ++count) problem ??= `answer ${count} was ${line}`;
      if (pauseMs >= 0) setTimeout(ask, pauseMs);
    }
  });
  if (pauseMs >= 0) ask();
  return {
    ask,
    count: () => count,
    problem: () => problem,
    close() {
      isClosed = true;
      socket.destroy();
    },
  };
}

function open(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true }, () => resolve(socket));
    socket.once("error", reject);
  });
}

/** Each client has got `more` further answers; rejects with the first problem of any of them. */
export async function answers(clients: readonly Client[], more: number): Promise<void> {
  const goals = clients.map((client) => client.count() + more);
  await until(`${more} answers for each of ${clients.length} clients`, 20, 40_000, async () => {
    const problem = clients.map((client) => client.problem()).find((text) => text !== undefined);
    if (problem !== undefined) throw new Error(problem);
    return clients.every((client, index) => client.count() >= (goals[index] ?? 0)) ? true : undefined;
  });
}

/** Does anybody listen there? */
export const listens = (host: string, port: number) => async (): Promise<boolean> => {
  const socket = await open(host, port);
  socket.destroy();
  return true;
};
