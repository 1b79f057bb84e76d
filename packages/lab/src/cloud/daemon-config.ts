// The configuration files of the daemons of a local cloud, as those daemons read them. Secrets are in them: mode 0600.
import type { CloudLayout, NodeLayout } from "../layout.ts";
import type { CloudPaths } from "./paths.ts";

/** `withNodes` false: a core alone, on loopback. */
export function coreConfig(cloud: CloudLayout, paths: CloudPaths, port: number, withNodes: boolean): object {
  return {
    dataDir: paths.coreDir,
    http: { host: "127.0.0.1", port },
    agents: { host: withNodes ? cloud.hostAddress : "127.0.0.1", port: 3443 },
    trustDomain: "aether.local",
    adminTokenFile: paths.adminTokenFile,
    addressPool: cloud.workloadPool,
    ...(withNodes ? { drill: { injector: paths.labSocket } } : {}),
  };
}

export function agentConfig(cloud: CloudLayout, node: NodeLayout, paths: CloudPaths, joinToken: string): object {
  return {
    nodeId: node.id,
    hostId: node.namespace,
    stateDir: paths.nodeDir(node.id),
    snapshotDir: paths.snapshots,
    hide: [paths.dir],
    coreAddress: `${cloud.hostAddress}:3443`,
    joinToken,
    hostInterface: "eth0",
    linkAddress: node.address,
    // Nothing of value runs here, and drills are what it is for.
    allowChaos: true,
  };
}
