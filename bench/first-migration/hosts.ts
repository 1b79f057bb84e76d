// Two hosts and a client as network namespaces, routed as a VPC routes: what the bare script needs, made with iproute2 and undone whatever happens.
import { run } from "@aether/kit";

export const workloadAddress = "10.79.1.1";
const names = { switch: "aeb-sw", client: "aeb-cl", source: "aeb-a", target: "aeb-b", sourcePod: "aeb-pa", targetPod: "aeb-pb" } as const;
const address = { client: "10.79.0.2", source: "10.79.0.3", target: "10.79.0.4" } as const;

export interface Hosts {
  readonly names: typeof names;
  /** Prefix of argv that runs a program in that namespace (never `ip netns exec`: it makes a mount namespace, which criu would see). */
  in(name: keyof typeof names): readonly string[];
  ip(...args: readonly string[]): Promise<void>;
  /** Leads the workload's address to this host, on the client and on both hosts. */
  lead(to: "source" | "target"): Promise<void>;
  /** Takes the workload's link on the source down and drops on the target what arrives before the restore. */
  cut(): Promise<void>;
  close(): Promise<void>;
}

async function ip(...args: readonly string[]): Promise<void> {
  await run("ip", args, { deadlineMs: 10_000 });
}

async function removeAll(): Promise<void> {
  for (const name of Object.values(names)) await run("ip", ["netns", "del", name], { deadlineMs: 10_000, okCodes: [0, 1] });
}

export async function openHosts(): Promise<Hosts> {
  await removeAll();
  for (const name of Object.values(names)) await ip("netns", "add", name);
  await ip("-n", names.switch, "link", "add", "br0", "type", "bridge");
  await ip("-n", names.switch, "link", "set", "br0", "up");
  for (const host of ["client", "source", "target"] as const) {
    const inside = names[host];
    await ip("link", "add", `v-${inside}`, "netns", names.switch, "type", "veth", "peer", "name", "eth0", "netns", inside);
    await ip("-n", names.switch, "link", "set", `v-${inside}`, "master", "br0", "up");
    await ip("-n", inside, "link", "set", "lo", "up");
    await ip("-n", inside, "addr", "add", `${address[host]}/24`, "dev", "eth0");
    await ip("-n", inside, "link", "set", "eth0", "up");
    const sysctls = [
      "ip_forward=1",
      "conf.all.rp_filter=0",
      "conf.eth0.rp_filter=0",
      "conf.all.send_redirects=0",
      "conf.eth0.send_redirects=0",
    ];
    await run("nsenter", [`--net=/run/netns/${inside}`, "sysctl", "-qw", ...sysctls.map((line) => `net.ipv4.${line}`)], {
      deadlineMs: 10_000,
    });
  }
  for (const [pod, host] of [
    [names.sourcePod, names.source],
    [names.targetPod, names.target],
  ] as const) {
    await ip("link", "add", "wl0", "netns", host, "type", "veth", "peer", "name", "eth0", "netns", pod);
    await ip("-n", pod, "link", "set", "lo", "up");
    await ip("-n", pod, "addr", "add", `${workloadAddress}/32`, "dev", "eth0");
    await ip("-n", pod, "link", "set", "eth0", "up");
    await ip("-n", pod, "route", "add", "169.254.1.1", "dev", "eth0", "scope", "link");
    await ip("-n", pod, "route", "add", "default", "via", "169.254.1.1");
    await ip("-n", host, "link", "set", "wl0", "up");
    const shown = await run("nsenter", [`--net=/run/netns/${host}`, "cat", "/proc/sys/net/ipv4/conf/wl0/rp_filter"], { deadlineMs: 5000 });
    if (shown.stdout.trim() !== "0")
      await run("nsenter", [`--net=/run/netns/${host}`, "sysctl", "-qw", "net.ipv4.conf.wl0.rp_filter=0"], { deadlineMs: 5000 });
    const link = await run("ip", ["-n", host, "-j", "link", "show", "wl0"], { deadlineMs: 5000 });
    const mac = /"address":"([0-9a-f:]+)"/.exec(link.stdout)?.[1] ?? "";
    await ip("-n", pod, "neigh", "replace", "169.254.1.1", "lladdr", mac, "dev", "eth0", "nud", "permanent");
  }
  const hosts: Hosts = {
    names,
    in: (name) => ["nsenter", `--net=/run/netns/${names[name]}`],
    ip,
    async lead(to) {
      const other = to === "source" ? "target" : "source";
      for (const name of [names.source, names.target])
        await run("ip", ["-n", name, "route", "flush", `${workloadAddress}/32`], { deadlineMs: 5000 });
      await ip("-n", names[to], "link", "set", "wl0", "up");
      await ip("-n", names[to], "route", "replace", `${workloadAddress}/32`, "dev", "wl0");
      await ip("-n", names[other], "route", "replace", `${workloadAddress}/32`, "via", address[to]);
      await ip("-n", names.client, "route", "replace", `${workloadAddress}/32`, "via", address[to]);
    },
    async cut() {
      await ip("-n", names.source, "link", "set", "wl0", "down");
      await ip("-n", names.target, "route", "replace", "blackhole", `${workloadAddress}/32`);
      await ip("-n", names.client, "route", "replace", `${workloadAddress}/32`, "via", address.target);
    },
    close: removeAll,
  };
  await hosts.lead("source");
  return hosts;
}
