// The one live stream of this page: server-sent events by fetch, resumed after the last event that was seen. A stream that is silent for
// longer than the server's keep-alive is taken for dead. A hidden page lets go of it after a while: browsers keep six connections to a
// host, and twenty tabs must not wait for each other.

import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import { type WatchEventsResponse, WatchEventsResponseSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { fromJsonString } from "@bufbuild/protobuf";

export type Connection = "connecting" | "live" | "reconnecting" | "paused" | "refused";

export interface StreamOptions {
  readonly onEvent: (event: Event) => void;
  readonly onConnection: (connection: Connection) => void;
}

const silenceMs = 40_000;
const hiddenMs = 30_000;
const longestWaitMs = 8_000;

/** Follows events until the signal aborts. */
export async function followEvents({ onEvent, onConnection }: StreamOptions, signal: AbortSignal): Promise<void> {
  let after = 0n;
  let failures = 0;
  onConnection("connecting");
  while (!signal.aborted) {
    if (document.hidden) {
      onConnection("paused");
      await untilVisible(signal);
      continue;
    }
    const attempt = new AbortController();
    const ended = AbortSignal.any([signal, attempt.signal]);
    const unhide = abortWhenHidden(attempt);
    try {
      const answer = await fetch(`/api/v2/events${after > 0n ? `?after=${after}` : ""}`, {
        headers: { accept: "text/event-stream" },
        signal: ended,
      });
      if (answer.status === 401 || answer.status === 403) {
        onConnection("refused");
        return;
      }
      // What was missed is not kept any more: what is shown is read anew when the stream is live, so it goes on from there.
      if (answer.status === 410) after = 0n;
      if (!answer.ok || answer.body === null) throw new Error(`status ${answer.status}`);
      failures = 0;
      onConnection("live");
      for await (const data of readData(answer.body, attempt)) {
        const { event } = data;
        if (event === undefined) continue;
        after = event.sequence;
        onEvent(event);
      }
    } catch {
      // Whatever it was: the next attempt finds out.
    } finally {
      unhide();
    }
    if (signal.aborted || document.hidden) continue;
    failures++;
    onConnection("reconnecting");
    await sleep(Math.min(longestWaitMs, 250 * 2 ** Math.min(10, failures)) * (0.5 + Math.random() / 2), signal);
  }
}

async function* readData(body: ReadableStream<Uint8Array>, attempt: AbortController): AsyncGenerator<WatchEventsResponse> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let rest = "";
  for (;;) {
    const timer = setTimeout(() => attempt.abort(), silenceMs);
    const { value, done } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      if (block.startsWith("event: error")) throw new Error("the stream ended with an error");
      const text = block
        .split("\n")
        .filter((line) => line.startsWith("data: "))
        .map((line) => line.slice(6))
        .join("\n");
      if (text !== "") yield fromJsonString(WatchEventsResponseSchema, text, { ignoreUnknownFields: true });
    }
  }
}

function abortWhenHidden(attempt: AbortController): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(() => attempt.abort(), hiddenMs);
  };
  document.addEventListener("visibilitychange", look);
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}

function untilVisible(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
