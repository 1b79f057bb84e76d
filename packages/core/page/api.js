// The API as the page uses it: JSON over REST, and the event stream read with fetch, because EventSource cannot send a token.

const key = "aether.token";

/** From the address (…#token=…), which is then cleaned so that the token is not copied along with it. */
export function readToken() {
  const given = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (given) {
    sessionStorage.setItem(key, decodeURIComponent(given));
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(key) ?? "";
}

export const keepToken = (token) => sessionStorage.setItem(key, token);
export const forgetToken = () => sessionStorage.removeItem(key);

export class Refusal extends Error {
  constructor(status, problem) {
    super(problem?.message ?? `the control plane answered ${status}`);
    this.status = status;
    this.code = problem?.code ?? "";
    this.hint = problem?.hint ?? "";
  }
}

async function call(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: { authorization: `Bearer ${readToken()}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(15_000),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, answer.error);
  return answer;
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);

/** Calls `onEvent` for each event after now, for ever; `onState` with true or false as the stream comes and goes. */
export async function followEvents(onEvent, onState) {
  let after = 0;
  for (;;) {
    try {
      const response = await fetch(`/api/v2/events${after ? `?after=${after}` : ""}`, {
        headers: { authorization: `Bearer ${readToken()}`, accept: "text/event-stream" },
      });
      if (!response.ok) throw new Refusal(response.status, undefined);
      onState(true);
      let rest = "";
      for await (const chunk of chunksOf(response.body)) {
        rest += chunk;
        const blocks = rest.split("\n\n");
        rest = blocks.pop() ?? "";
        for (const block of blocks) {
          const data = block
            .split("\n")
            .filter((line) => line.startsWith("data: "))
            .map((line) => line.slice(6))
            .join("\n");
          const event = data === "" || block.startsWith("event: error") ? undefined : JSON.parse(data).event;
          if (!event) continue;
          after = Number(event.sequence);
          onEvent(event);
        }
      }
    } catch (caught) {
      if (caught instanceof Refusal && caught.status === 401) throw caught;
    }
    onState(false);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

async function* chunksOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    yield value;
  }
}
