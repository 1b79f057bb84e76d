// Who this node is to the control plane: joined once with a single-use token, renewed at half life ever after. The key is made here and
// never leaves; the token is sent only to a server whose authority has the pin that the token itself carries.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault, fault } from "@aether/contract";
import { AgentService, type Identity, type RegisterResponse } from "@aether/contract/gen/aether/v2/agent_pb";
import type { NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import type { Logger } from "@aether/kit";
import {
  createIdentityRequest,
  createRotatingIdentity,
  type IdentityMaterial,
  identityFile,
  nodeIdOf,
  parseJoinToken,
  parseSpiffeId,
  pinnedTrust,
  type RotatingIdentity,
} from "@aether/kit/identity";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import type { CoreAddresses } from "./addresses.ts";
import { openCoreLink } from "./transport.ts";

export interface EnrolOptions {
  readonly addresses: CoreAddresses;
  readonly joinToken: string | undefined;
  readonly joinTokenFile: string | undefined;
  readonly stateDir: string;
  /** Asked for at registration; the control plane's answer counts. */
  readonly nodeId: string;
  facts(): Promise<MessageInitShape<typeof NodeFactsSchema>>;
  readonly log: Logger;
  /** Called when a registration has brought a configuration. */
  onRegistered?(response: RegisterResponse): void;
}

const callMs = 10_000;

/**
 * The identity of this node; `start` it to have one. Throws from `start`: JOIN_TOKEN_INVALID (none, used or expired), NODE_NAME_TAKEN,
 * CONFIG_INVALID (what is on disk is damaged).
 */
export function createNodeIdentity(options: EnrolOptions): RotatingIdentity {
  return createRotatingIdentity({
    ...identityFile(join(options.stateDir, "identity.json")),
    log: options.log,
    renew: async (current, signal) => {
      if (current === undefined) return anyOf(options, () => register(options, signal));
      try {
        return await anyOf(options, () => renew(options, current, signal));
      } catch (caught) {
        if (current.expiresAtMs > Date.now() || !hasJoinToken(options)) throw caught;
        options.log.warn({ err: caught }, "the certificate is over and was not renewed; joining again");
        return anyOf(options, () => register(options, signal));
      }
    },
  });
}

/** Of several control planes one leads, and only that one answers. Throws what the last one said, or what is no question of the address. */
async function anyOf<T>({ addresses }: EnrolOptions, ask: () => Promise<T>): Promise<T> {
  for (let i = 1; ; i++) {
    try {
      return await ask();
    } catch (caught) {
      if (i >= addresses.count || Fault.from(caught).code !== "UNAVAILABLE") throw caught;
    }
  }
}

/** The node that an identity names. Throws IDENTITY_REJECTED for one that names no node. */
export function nodeIdIn(material: IdentityMaterial): string {
  const nodeId = nodeIdOf(material.spiffeId);
  if (nodeId === undefined) throw fault("IDENTITY_REJECTED", `${material.spiffeId} is not the identity of a node`);
  return nodeId;
}

async function register(options: EnrolOptions, signal: AbortSignal): Promise<IdentityMaterial> {
  const joinToken = await readJoinToken(options);
  const address = options.addresses.next();
  const { host, port } = parseAddress(address);
  const trust = await pinnedTrust({ host, port, pin: parseJoinToken(joinToken).pin, deadlineMs: callMs, alpn: ["h2"] }, signal);
  const { csrPem, privateKeyPem } = await createIdentityRequest();
  const link = openCoreLink(address, trust);
  try {
    const client = createClient(AgentService, link.transport);
    const facts = await options.facts();
    const response = await client.register({ joinToken, nodeId: options.nodeId, csrPem, facts }, { signal, timeoutMs: callMs });
    const material = materialOf(response.identity, privateKeyPem);
    options.log.info({ nodeId: response.nodeId, spiffeId: material.spiffeId }, "node.registered");
    options.onRegistered?.(response);
    options.addresses.keep();
    return material;
  } finally {
    link.close();
  }
}

async function renew(options: EnrolOptions, current: IdentityMaterial, signal: AbortSignal): Promise<IdentityMaterial> {
  const { csrPem, privateKeyPem } = await createIdentityRequest();
  const link = openCoreLink(options.addresses.next(), { current: () => current, onRotate: () => () => undefined });
  try {
    const response = await createClient(AgentService, link.transport).renewIdentity({ csrPem }, { signal, timeoutMs: callMs });
    const next = materialOf(response.identity, privateKeyPem);
    if (next.spiffeId !== current.spiffeId) {
      throw fault("IDENTITY_REJECTED", `the control plane renewed ${current.spiffeId} as ${next.spiffeId}`);
    }
    options.addresses.keep();
    return next;
  } finally {
    link.close();
  }
}

function materialOf(identity: Identity | undefined, privateKeyPem: string): IdentityMaterial {
  if (identity?.expiresAt === undefined) throw fault("IDENTITY_REJECTED", "the control plane sent no identity");
  parseSpiffeId(identity.spiffeId);
  return {
    spiffeId: identity.spiffeId,
    certificateChainPem: identity.certificateChainPem,
    privateKeyPem,
    trustBundlePem: identity.trustBundlePem,
    expiresAtMs: timestampDate(identity.expiresAt).getTime(),
  };
}

const hasJoinToken = (options: EnrolOptions) => options.joinToken !== undefined || options.joinTokenFile !== undefined;

async function readJoinToken({ joinToken, joinTokenFile }: EnrolOptions): Promise<string> {
  if (joinToken !== undefined) return joinToken.trim();
  if (joinTokenFile === undefined) {
    throw fault("JOIN_TOKEN_INVALID", "this node has not joined yet, and no join token is configured", { field: "joinToken" });
  }
  try {
    return (await readFile(joinTokenFile, "utf8")).trim();
  } catch (cause) {
    throw fault("JOIN_TOKEN_INVALID", `the join token cannot be read from ${joinTokenFile}`, { cause, field: "joinTokenFile" });
  }
}

/** Splits HOST:PORT (IPv6 in brackets). Throws CONFIG_INVALID. */
export function parseAddress(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]{1,253})):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port < 1 || port > 65_535) {
    throw fault("CONFIG_INVALID", `coreAddress must be HOST:PORT, not ${JSON.stringify(text.slice(0, 80))}`, { field: "coreAddress" });
  }
  return { host, port };
}
