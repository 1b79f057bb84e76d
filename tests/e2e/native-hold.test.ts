// The packet hold between real kernels: a client namespace, a host that routes, a workload behind it. The client must see a pause and
// nothing else: no packet lost, none before another, no retransmission.
import { readFile } from "node:fs/promises";
import { run, sleep, until } from "@aether/kit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createNamespaces, inside, ip, missingForPackets, native, type Program, skipWhere, start } from "./native-program.ts";

const missing = missingForPackets();

const address = "10.97.1.5";
const other = "10.97.1.6";
const namespaces = createNamespaces();
let client: string;
let host: string;
let workload: string;
const programs: Program[] = [];

const script = (namespace: string, source: string) => {
  const program = start(...inside(namespace, process.execPath, "--input-type=module", "--eval", source));
  programs.push(program);
  return program;
};

/** Counts datagrams in the order in which they come. */
const receiver = `
  import { createSocket } from "node:dgram";
  const socket = createSocket("udp4");
  const seen = [];
  socket.on("message", (message) => seen.push(message.readUInt32BE(0)));
  socket.bind(7000, "${address}", () => { socket.setRecvBufferSize(4 << 20); console.log(JSON.stringify({ event: "bound" })); });
  process.stdin.on("data", () => console.log(JSON.stringify({ event: "seen", seen })));
  process.stdin.on("end", () => process.exit());
`;
/** Sends as many numbered datagrams as each line of its input says. */
const sender = `
  import { createSocket } from "node:dgram";
  import { createInterface } from "node:readline";
  const socket = createSocket("udp4");
  let next = 0;
  for await (const line of createInterface({ input: process.stdin })) {
    for (let i = 0; i < Number(line); i++) {
      const message = Buffer.alloc(32 + (next % 900));
      message.writeUInt32BE(next++);
      await new Promise((resolve) => socket.send(message, 7000, "${address}", resolve));
    }
    console.log(JSON.stringify({ event: "sent", next }));
  }
  process.exit();
`;

async function hold(options: { deadlineMs?: number; maxBytes?: number } = {}) {
  const limits = ["--deadline-ms", String(options.deadlineMs ?? 20_000), "--max-bytes", String(options.maxBytes ?? 8 << 20)];
  const program = start(...inside(host, native, "hold", "--device", "hold0", "--address", address, ...limits));
  programs.push(program);
  await program.event("ready");
  const ask = async (command: string, event: string) => {
    const from = program.lines.length;
    program.child.stdin.write(`${command}\n`);
    return (await program.event(event, from)) as Record<string, number>;
  };
  return { ...program, status: () => ask("status", "status"), release: () => ask("release", "released") };
}
const leadToHold = () => ip("-n", host, "route", "replace", `${address}/32`, "dev", "hold0");
const leadToWorkload = () => ip("-n", host, "route", "replace", `${address}/32`, "dev", "veth0");
const retransmissions = async (pid: number | undefined) => {
  const [names, values] = (await readFile(`/proc/${pid}/net/snmp`, "utf8")).split("\n").filter((line) => line.startsWith("Tcp:"));
  return Number(values?.split(" ")[names?.split(" ").indexOf("RetransSegs") ?? -1]);
};

describe("the packet hold", () => {
  skipWhere(missing);
  beforeAll(async () => {
    if (missing !== undefined) return;
    client = await namespaces.add("client");
    host = await namespaces.add("host");
    workload = await namespaces.add("work");
    await ip("link", "add", "eth0", "netns", client, "type", "veth", "peer", "name", "eth0", "netns", host);
    await ip("link", "add", "veth0", "netns", host, "type", "veth", "peer", "name", "eth0", "netns", workload);
    const set = async (namespace: string, ...lines: readonly string[]) => {
      await run("ip", ["-n", namespace, "-batch", "-"], { deadlineMs: 10_000, input: `${lines.join("\n")}\n` });
    };
    await set(client, "addr add 10.97.0.2/24 dev eth0", "link set eth0 up", "route add 10.97.1.0/24 via 10.97.0.1");
    await set(host, "addr add 10.97.0.1/24 dev eth0", "link set eth0 up", "link set veth0 up");
    await set(
      workload,
      `addr add ${address}/32 dev eth0`,
      "link set eth0 up",
      "route add 169.254.1.1 dev eth0",
      "route add default via 169.254.1.1 dev eth0",
    );
    const mac = /link\/ether (\S+)/.exec((await ip("-n", host, "-o", "link", "show", "veth0")).stdout)?.[1] ?? "";
    await set(workload, `neigh replace 169.254.1.1 lladdr ${mac} dev eth0 nud permanent`);
    // Strict reverse paths on the host, as distributions have them: the hold must get its packets through all the same.
    const settings = "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter";
    await run(...inside(host, "sh", "-c", settings), { deadlineMs: 5000 });
  });
  afterEach(async () => {
    for (const program of programs.splice(0)) {
      program.child.kill("SIGKILL");
      await program.ended;
    }
  });
  afterAll(() => namespaces.remove());

  it("loses nothing and keeps the order", async () => {
    const held = await hold();
    await leadToHold();
    const [at, from] = [script(workload, receiver), script(client, sender)];
    await at.event("bound");
    from.child.stdin.write("500\n");
    await from.event("sent");
    expect(await until("the packets to arrive", 10, 5000, async () => ((await held.status()).held === 500 ? true : undefined))).toBe(true);
    expect(await held.status()).toMatchObject({ held: 500, dropped: 0 });
    expect((await held.status()).bytes).toBeGreaterThan(500 * 60);
    await leadToWorkload();
    expect(await held.release()).toEqual({ event: "released", held: 500, replayed: 500, dropped: 0 });
    from.child.stdin.write("100\n"); // these go straight
    await from.event("sent", 1);
    const seen = await until("all of them", 20, 5000, async () => {
      const count = at.lines.length;
      at.child.stdin.write("?\n");
      const { seen } = (await at.event("seen", count)) as { seen: number[] };
      return seen.length >= 600 ? seen : undefined;
    });
    expect(seen).toEqual(Array.from({ length: 600 }, (_, index) => index));
    expect((await held.status()).bytes).toBe(0);
    held.child.stdin.write("quit\n");
    expect(await held.ended).toBe(0);
  });

  it("gives a TCP client a pause without a retransmission", { retry: 1 }, async () => {
    const held = await hold();
    await leadToHold();
    const server = script(
      workload,
      `import { createServer } from "node:net";
       createServer((socket) => socket.pipe(socket)).listen(7001, "${address}", () => console.log(JSON.stringify({ event: "listening" })));`,
    );
    await server.event("listening");
    const peer = script(
      client,
      `import { connect } from "node:net";
       const socket = connect(7001, "${address}", () => socket.write("hello"));
       socket.on("error", (error) => console.log(JSON.stringify({ event: "answer", text: String(error) })));
       socket.on("data", (chunk) => console.log(JSON.stringify({ event: "answer", text: chunk.toString() })));`,
    );
    await until("the SYN", 5, 5000, async () => ((await held.status()).held === 1 ? true : undefined));
    await sleep(150);
    await leadToWorkload();
    await held.release();
    expect(await peer.event("answer")).toEqual({ event: "answer", text: "hello" });
    expect(await retransmissions(peer.child.pid)).toBe(0);
  });

  it("keeps only what is for its address, and no more than it may", async () => {
    const held = await hold({ maxBytes: 4096 });
    await leadToHold();
    await ip("-n", host, "route", "replace", `${other}/32`, "dev", "hold0");
    const from = script(
      client,
      `import { createSocket } from "node:dgram";
       const socket = createSocket("udp4");
       const send = (to) => new Promise((resolve) => socket.send(Buffer.alloc(972), 7000, to, resolve));
       for (let i = 0; i < 10; i++) await send("${address}");
       for (let i = 0; i < 5; i++) await send("${other}");
       socket.close();
       console.log(JSON.stringify({ event: "sent" }));`,
    );
    await from.event("sent");
    // 1000 bytes with their headers, 4 for their length: 4 of the 10 fit. The newest are dropped, and the 5 strangers.
    const status = await until("15 packets", 10, 5000, async () => {
      const now = await held.status();
      return (now.held ?? 0) + (now.dropped ?? 0) >= 15 ? now : undefined;
    });
    expect(status).toEqual({ event: "status", held: 4, bytes: 4000, dropped: 11 });
  });

  it("opens by itself at the deadline, also when its owner has died", async () => {
    const startedMs = performance.now();
    const held = await hold({ deadlineMs: 700 });
    await leadToHold();
    held.child.stdin.end();
    const from = script(client, sender);
    from.child.stdin.write("3\n");
    await from.event("sent");
    expect(await held.ended).toBe(0);
    expect(performance.now() - startedMs).toBeGreaterThan(690);
    expect(held.lines.at(-1)).toMatchObject({ event: "released" });
    const links = (await ip("-n", host, "-o", "link", "show")).stdout;
    expect(links).not.toContain("hold0"); // and with the device its route
  });

  it("says so when the device is taken, and knows no other commands", async () => {
    const held = await hold();
    const again = inside(host, native, "hold", "--device", "hold0", "--address", address, "--deadline-ms", "1000", "--max-bytes", "1000");
    const { stderr } = await run(...again, { deadlineMs: 5000, okCodes: [1] });
    expect(JSON.parse(stderr)).toMatchObject({ errno: 16 });
    held.child.stdin.write("dance\n");
    let text = "";
    held.child.stderr.on("data", (chunk: Buffer) => {
      text += chunk;
    });
    await expect.poll(() => text).toContain("unknown command");
    expect(await held.status()).toMatchObject({ held: 0 });
  });

  it("changes nothing but its own device", async () => {
    const settings = async (device: string) => {
      const names = ["rp_filter", "accept_local", "forwarding"].map((name) => `/proc/sys/net/ipv4/conf/${device}/${name}`);
      return (await run(...inside(host, "cat", ...names), { deadlineMs: 5000 })).stdout.split("\n").slice(0, 3).join(" ");
    };
    const before = [await settings("all"), await settings("default"), await settings("eth0")];
    await hold();
    expect([await settings("all"), await settings("default"), await settings("eth0")]).toEqual(before);
    expect(await settings("hold0")).toBe("2 1 1"); // loose, because "all" is strict here
  });
});
