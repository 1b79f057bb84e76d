// What only doing shows: which ways of holding packets this kernel takes, and whether our programs in it can watch a workload.
import { Fault } from "@aether/contract";
import { type HoldMethod, holdMethods, type KernelProbe, probeMachineKernel, type Tools } from "@aether/engine";
import type { Check } from "@aether/kit";

const felt: Readonly<Record<HoldMethod, string>> = {
  queue: "kept and replayed in order: a client feels the freeze and nothing else",
  xdp_icmp: "dropped, and the client's TCP told to try again soon: it feels little more than the freeze",
  tc_drop: "dropped: a client waits for its own timer, up to twice the freeze",
  nft_drop: "dropped: a client waits for its own timer, up to twice the freeze",
};

export function holdChecks(tools: Tools): readonly Check[] {
  let probing: Promise<KernelProbe> | undefined;
  const probe = (signal: AbortSignal) => {
    probing ??= probeMachineKernel(tools, signal);
    return probing;
  };
  return [
    {
      name: "packet-hold",
      title: "Packet hold",
      why: "packets that arrive while a workload moves must not be answered by a reset; the first way of four that works is taken",
      async run(signal) {
        if (process.getuid?.() !== 0) return { status: "warn", detail: "not tried: it needs root", mend: "run as root, then look again" };
        const { holds } = await probe(signal);
        const best = holdMethods.find((method) => holds[method] === undefined);
        const refused = holdMethods.filter((method) => holds[method] !== undefined).map((method) => `${method}: ${holds[method]}`);
        const detail = [...(best === undefined ? [] : [`${best} works (${felt[best]})`]), ...refused].join("; ");
        if (best === "queue") return { status: "ok", detail };
        return { status: best === undefined ? "fail" : "warn", detail, mend: "modprobe tun, or give the container --device /dev/net/tun" };
      },
    },
    {
      name: "ebpf",
      title: "Programs in the kernel (eBPF)",
      why: "blackouts, resets and retransmissions as the kernel saw them; moves work without it, and receipts then say that they do not know",
      async run(signal) {
        if (process.getuid?.() !== 0) return { status: "warn", detail: "not tried: it needs root", mend: "run as root, then look again" };
        const watch = await probe(signal).then(
          (found) => found.watch,
          (caught: unknown) => Fault.from(caught).message,
        );
        if (watch === undefined) return { status: "ok", detail: "they load and attach" };
        const mend = "npm run prepare:machine builds aether-bpf; the kernel needs CONFIG_DEBUG_INFO_BTF, as distributions have it";
        return { status: "warn", detail: watch, mend };
      },
    },
  ];
}
