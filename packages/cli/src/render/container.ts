// A container of podman or Docker, as the preflight saw it.
import type { ContainerVerdict } from "@aether/agent";
import { describeFinding } from "./describe.ts";
import { bytes } from "./units.ts";

export function describeContainer({ container, blockers, warnings, ...seen }: ContainerVerdict): string {
  const { name, runtime, image, rootfs, environment } = container;
  const facts = [
    `${seen.processCount} process${seen.processCount === 1 ? "" : "es"}`,
    bytes(seen.memoryBytes),
    ...(seen.tcpEstablished > 0 ? [`${seen.tcpEstablished} TCP connections`] : []),
  ];
  const verdict = blockers.length > 0 ? "As it is, it could not be moved:" : "What runs in it could be moved.";
  const quoted = seen.asWorkload.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`));
  const images = rootfs === "" ? ` (DIR: an OCI layout of ${image}, e.g. skopeo copy containers-storage:${image} oci:DIR)` : "";
  const variables = environment.length > 0 ? `\n  with --env for what of these is not the image's own: ${environment.join(" ")}` : "";
  return [
    `${name} (${runtime}, ${image || rootfs}): ${facts.join(", ")}`,
    verdict,
    ...blockers.map(describeFinding("✗")),
    ...warnings.map(describeFinding("!")),
    `The same as a workload, which has an address that moves with it${images}:\n  aether ${quoted.join(" ")}${variables}`,
  ].join("\n");
}
