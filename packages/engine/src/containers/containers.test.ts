// What the programs of the runtimes print. With a container that runs: tests/e2e/containers.test.ts.
import { expect, it } from "vitest";
import { parseInspected } from "./discover.ts";
import { settingsFindings, takeOver, workloadArguments } from "./verdict.ts";

/** As Docker 28 prints it, cut to what is read; podman has ImageName and Rootfs beside. */
const docker = (more: object = {}, state: object = { Running: true, Pid: 4242 }) => ({
  Id: "9c2ddf0ddcb5",
  Name: "/Shop_Cache.1",
  Path: "docker-entrypoint.sh",
  Args: ["redis-server", "--appendonly", "yes"],
  Image: "sha256:aa",
  State: state,
  Config: { Image: "redis:7", Env: ["PATH=/usr/bin", "PASSWORD=secret"], User: "999", WorkingDir: "/data", Tty: false },
  HostConfig: { NetworkMode: "bridge", PidMode: "", IpcMode: "private", Privileged: false, Memory: 536_870_912, ...more },
  Mounts: [
    { Type: "volume", Source: "/var/lib/docker/volumes/x/_data", Destination: "/data", RW: true },
    { Type: "tmpfs", Source: "", Destination: "/scratch", RW: true },
  ],
  NetworkSettings: { Ports: { "6379/tcp": [{ HostIp: "0.0.0.0", HostPort: "6379" }], "80/tcp": null } },
});
const parsed = (...args: Parameters<typeof docker>) => parseInspected("docker", JSON.stringify([docker(...args)]));

it("a container is read as its runtime describes it; values of its environment are not", () => {
  const [one] = parsed();
  expect(one).toMatchObject({
    name: "Shop_Cache.1",
    image: "redis:7",
    pid: 4242,
    argv: ["docker-entrypoint.sh", "redis-server", "--appendonly", "yes"],
    environment: ["PASSWORD", "PATH"],
    ports: ["6379/tcp from 0.0.0.0:6379"],
  });
  expect(JSON.stringify(one)).not.toContain("secret");
  expect(workloadArguments(one!)).toEqual(
    "run shop-cache-1 --rootfs oci:/var/lib/aether-guard/images/shop-cache-1 --volume /var/lib/docker/volumes/x/_data:/data:sync --memory 512M".split(" "),
  ); // biome-ignore format: one command
  expect(workloadArguments({ ...one!, rootfs: "/srv/shop" }).slice(-9)).toEqual(
    "--user 999 --workdir /data -- docker-entrypoint.sh redis-server --appendonly yes".split(" "),
  );
});

it("becomes a workload by its runtime's own commands, with its layer and environment in an image; a directory needs none", () => {
  const [one] = parsed();
  expect(takeOver(one!).slice(0, -1)).toEqual([
    "docker update --restart no Shop_Cache.1",
    "docker stop Shop_Cache.1",
    "docker commit Shop_Cache.1 localhost/shop-cache-1:as-it-was",
    "mkdir -p /var/lib/aether-guard/images/shop-cache-1",
    "docker save localhost/shop-cache-1:as-it-was | tar -x -C /var/lib/aether-guard/images/shop-cache-1",
  ]);
  expect(takeOver({ ...one!, runtime: "podman" })).toContain(
    "podman save --format oci-dir --output /var/lib/aether-guard/images/shop-cache-1 localhost/shop-cache-1:as-it-was",
  );
  expect(takeOver({ ...one!, rootfs: "/srv/a b" }).at(-1)).toContain("--rootfs '/srv/a b'");
  expect(takeOver({ ...one!, rootfs: "/srv/shop" }).join()).not.toContain("commit");
});

it("one that does not run is none", () => expect(parsed({}, { Running: false, Pid: 0 })).toEqual([]));

it.each([
  ["HOST_NETWORK", { NetworkMode: "host" }],
  ["HOST_PID", { PidMode: "host" }],
  ["HOST_IPC", { IpcMode: "host" }],
  ["PRIVILEGED", { Privileged: true }],
])("what it shares with its host cannot leave with it: %s", (code, more) =>
  expect(settingsFindings(parsed(more)[0]!).map((one) => one.code)).toEqual([code]),
);
