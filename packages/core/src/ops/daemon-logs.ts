// What the daemons said last: core's own lines from its memory, each agent's asked for over its session. Cleaned like everything else in a bundle.
import { Fault } from "@aether/contract";
import { recentLogLines, withDeadline } from "@aether/kit";
import type { JsonValue } from "@bufbuild/protobuf";
import type { AgentSessions } from "../fleet/sessions.ts";
import { readAgentLog } from "../workload/logs.ts";
import { cleanText, withoutSecrets } from "./without-secrets.ts";

/** Agents that are asked, and so many of them at once. */
export const agentsAsked = 50;
const atOnce = 10;
const askMs = 5_000;

export const coreLog = (): string => recentLogLines("core").map(cleanLine).join("\n");

/** One JSON object a line, with the node's name; an agent that does not answer has one line that says why. */
export async function agentLogs(sessions: AgentSessions, signal: AbortSignal): Promise<string> {
  const nodes = sessions.connectedNodes().slice(0, agentsAsked);
  const answers: string[] = [];
  for (let at = 0; at < nodes.length; at += atOnce)
    answers.push(...(await Promise.all(nodes.slice(at, at + atOnce).map((nodeId) => logOf(sessions, nodeId, signal)))));
  return answers.join("");
}

async function logOf(sessions: AgentSessions, nodeId: string, outer: AbortSignal): Promise<string> {
  const line = (entry: JsonValue) => `${JSON.stringify({ node: nodeId, entry })}\n`;
  try {
    const read = async (signal: AbortSignal) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of readAgentLog(sessions, nodeId, signal)) chunks.push(chunk);
      return Buffer.concat(chunks).toString("utf8");
    };
    const text = await withDeadline(`the log of ${nodeId}`, askMs, read, outer);
    return text
      .split("\n")
      .filter((each) => each !== "")
      .map((each) => line(entryOf(each)))
      .join("");
  } catch (caught) {
    return line({ problem: Fault.from(caught).message });
  }
}

const cleanLine = (text: string): string => {
  const entry = entryOf(text.trimEnd());
  return typeof entry === "string" ? entry : JSON.stringify(entry);
};

function entryOf(text: string): JsonValue {
  try {
    return withoutSecrets(JSON.parse(text) as JsonValue);
  } catch {
    return cleanText(text); // not one of ours, or cut
  }
}
