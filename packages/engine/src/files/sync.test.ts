import { describe, expect, it } from "vitest";
import type { Host } from "../host.ts";
import { requireReplaceable } from "./sync.ts";

const host = {
  options: { stateDir: "/var/lib/aether/agent/engine", snapshotDir: "/var/lib/aether/snapshots" },
  memoryDir: "/run/aether/n1",
} as unknown as Host;
const volumes = (source: string, mode: "sync" | "shared" = "sync") => [{ source, destination: "/data", mode }];

describe("a sync volume", () => {
  it.each(["/srv/data", "/data/", "/etc/app", "/var/lib/postgresql", "/usrlocal", "/var/lib/aether-data"])("may be %s", (source) => {
    expect(() => requireReplaceable(host, volumes(source))).not.toThrow();
  });

  it.each(["/", "/usr", "/usr/", "/etc", "/var/lib", "/var", "/run", "/var/lib/aether/agent/engine/workloads/db/upper", "/srv/../etc"])(
    "may not be %s, which a move would delete on the target",
    (source) => {
      expect(() => requireReplaceable(host, volumes(source))).toThrow(
        expect.objectContaining({ code: "VOLUME_INVALID", field: "spec.volumes[0].source" }),
      );
      expect(() => requireReplaceable(host, volumes(source, "shared"))).not.toThrow();
    },
  );
});
