// The one live stream of this page: server-sent events by fetch, resumed after the last event that was seen. A stream that is silent for
// longer than the server's keep-alive is taken for dead. A hidden page lets go of it after a while: browsers keep six connections to a
// host, and twenty tabs must not wait for each other.

import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import type { Changes } from "@aether/contract/gen/aether/v2/live_pb";
import { type WatchEventsResponse, WatchEventsResponseSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { fromJsonString } from "@bufbuild/protobuf";

export type Connection = "connecting" | "live" | "reconnecting" | "paused" | "refused";

export interface StreamOptions {
  readonly onEvent: (event: Event) => void;
  readonly onChanges: (changes: Changes) => void;
  readonly onConnection: (connection: Connection) => void;
  /** Does what is shown now need what nodes say of themselves? */
  readonly fleet: Wish;
}

/** Yes while at least one asks for it; forgotten a moment after the last, because pages come and go. */
export interface Wish {
  readonly isWanted: boolean;
  want(): () => void;
  onChange(listener: () => void): () => void;
}

const lingerMs = 3_000;

export function createWish(): Wish {
  let wanting = 0;
  const listeners = new Set<() => void>();
  const tell = () => {
    for (const listener of listeners) listener();
  };
  return {
    get isWanted() {
      return wanting > 0;
    },
    want() {
      if (++wanting === 1) tell();
      return () =>
        void setTimeout(() => {
          if (--wanting === 0) tell();
        }, lingerMs);
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

const silenceMs = 40_000;
const hiddenMs = 30_000;
const longestWaitMs = 8_000;

/** Follows events until the signal aborts. */
export async function followEvents({ onEvent, onChanges, onConnection, fleet }: StreamOptions, signal: AbortSignal): Promise<void> {
  let after = 0n;
  let failures = 0;
  let isLive = false;
  onConnection("connecting");
  while (!signal.aborted) {
    if (document.hidden) {
      isLive = false;
      onConnection("paused");
      await untilVisible(signal);
      continue;
    }
    const attempt = new AbortController();
    const ended = AbortSignal.any([signal, attempt.signal]);
    const unhide = abortWhenHidden(attempt);
    // Another page wants more, or less: the stream is asked for anew and goes on where it was. Nobody has to see that.
    let isAskedAnew = false;
    const unwish = fleet.onChange(() => {
      isAskedAnew = true;
      attempt.abort();
    });
    try {
      const answer = await fetch(`/api/v2/events?after=${after}&changes=true&fleet=${fleet.isWanted}`, {
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
      if (failures > 0 || !isLive) onConnection("live");
      failures = 0;
      isLive = true;
      for await (const data of readData(answer.body, attempt)) {
        if (data.changes !== undefined) onChanges(data.changes);
        if (data.event === undefined) continue;
        after = data.event.sequence;
        onEvent(data.event);
      }
    } catch {
      // Whatever it was: the next attempt finds out.
    } finally {
      unhide();
      unwish();
    }
    if (signal.aborted || document.hidden || isAskedAnew) continue;
    failures++;
    isLive = false;
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
