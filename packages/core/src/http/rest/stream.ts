// Server streams over REST: one JSON object a line, or server-sent events where the client asks for them. An error in the middle is
// the last line (or event) and has the usual shape.
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { DescMessage } from "@bufbuild/protobuf";
import { type DescField, isFieldSet, type JsonValue, type Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";

export interface StreamFormat {
  readonly contentType: string;
  message(type: DescMessage, message: Message, json: JsonValue): string;
  error(json: object): string;
  readonly keepAlive: string;
}

export const ndjson: StreamFormat = {
  contentType: "application/x-ndjson",
  message: (_type, _message, json) => `${JSON.stringify({ result: json })}\n`,
  error: (json) => `${JSON.stringify(json)}\n`,
  keepAlive: "\n",
};

/** https://html.spec.whatwg.org/multipage/server-sent-events.html; `id` is the event's sequence where the message has one. */
export const serverSentEvents: StreamFormat = {
  contentType: "text/event-stream",
  message(type, message, json) {
    const id = sequenceOf(type, message);
    return `${id === undefined ? "" : `id: ${id}\n`}data: ${JSON.stringify(json)}\n\n`;
  },
  error: (json) => `event: error\ndata: ${JSON.stringify(json)}\n\n`,
  keepAlive: ": still here\n\n",
};

/** The field `sequence` of the message, or of the only message in it. */
function sequenceOf(type: DescMessage, message: Message): string | undefined {
  const own = type.fields.find((field) => field.name === "sequence" && field.fieldKind === "scalar");
  if (own !== undefined) return String(reflect(type, message).get(own));
  const [only, ...others] = type.fields.filter((field) => isFieldSet(message, field));
  if (only === undefined || others.length > 0 || only.fieldKind !== "message") return undefined;
  return sequenceOf(only.message, subMessage(type, message, only));
}

function subMessage(type: DescMessage, message: Message, field: DescField & { fieldKind: "message" }): Message {
  return reflect(type, message).get(field).message;
}

/** Proxies close a silent connection after a minute or less. */
const keepAliveMs = 15_000;

/** Writes one chunk and waits while the client does not read. Answers false when the client is gone. */
export async function writeChunk(response: ServerResponse, text: string | Uint8Array, signal: AbortSignal): Promise<boolean> {
  if (response.destroyed || response.writableEnded) return false;
  if (!response.write(text)) {
    await once(response, "drain", { signal }).catch((caught: unknown) => {
      if (!signal.aborted) throw caught;
    });
  }
  return !signal.aborted;
}

/** Says something now and then; the answer ends it. */
export function keepAlive(response: ServerResponse, format: StreamFormat): () => void {
  const timer = setInterval(() => {
    if (!response.writableNeedDrain) response.write(format.keepAlive);
  }, keepAliveMs);
  return () => clearInterval(timer);
}
