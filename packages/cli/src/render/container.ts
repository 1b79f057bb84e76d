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
  // Of a directory there is no image that would have the environment in it.
  const variables =
    rootfs !== "" && environment.length > 0 ? `\n  with --env for what of these is not set anyway: ${environment.join(" ")}` : "";
  return [
    `${name} (${runtime}, ${image || rootfs}): ${facts.join(", ")}`,
    verdict,
    ...blockers.map(describeFinding("✗")),
    ...warnings.map(describeFinding("!")),
    "To make it a workload, which has an address of its own and moves with its memory and connections (this once it is restarted):",
    ...seen.takeOver.map((command) => `  ${command}`),
    `Should it not be well: stop the workload, and ${seen.wayBack}${variables}`,
  ].join("\n");
}
