// Changing a thing only if it still is what one has read (RFC 9110, 13.1.1): over REST, which has entity tags. What goes wrong is told in the same words as by
// the other calls.
import { type DescMessage, fromJson, type JsonValue, type MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { Overtaken } from "./overtaken.ts";

interface Tagged<Message> {
  readonly message: Message;
  readonly tag: string;
}

interface Change<Now extends DescMessage, Answer extends DescMessage> {
  /** Where it is read. */
  readonly path: string;
  readonly type: Now;
  /** Is that what the change was made from? The tag covers more (a policy's says which workloads are under it), so one that differs is read again. */
  readonly isSame: (now: MessageShape<Now> | undefined) => boolean;
  readonly method: "PUT" | "PATCH" | "POST" | "DELETE";
  /** Where it is changed, when that is another address than where it is read. */
  readonly changePath?: string;
  readonly body?: JsonValue;
  readonly answer: Answer;
}

const mostTries = 4;

/** Throws Overtaken, with what it is now, when somebody else has changed it; nothing was changed then. */
export async function changeUnlessOvertaken<Now extends DescMessage, Answer extends DescMessage>(
  change: Change<Now, Answer>,
): Promise<MessageShape<Answer>> {
  for (let tries = 1; tries <= mostTries; tries++) {
    const now = await readTagged(change.path, change.type);
    if (!change.isSame(now?.message)) throw new Overtaken(now?.message);
    const answer = await send(change, now?.tag);
    if (answer !== undefined) return answer;
  }
  throw new ConnectError("It changes all the time. Try again in a moment.", Code.Aborted, { "aether-code": "PRECONDITION_FAILED" });
}

/** Undefined where there is no such thing. */
async function readTagged<Desc extends DescMessage>(path: string, type: Desc): Promise<Tagged<MessageShape<Desc>> | undefined> {
  const answer = await ask(path, {});
  if (answer.status === 404) return undefined;
  const said = await bodyOf(answer);
  if (!answer.ok) throw problemIn(said, answer.status);
  return { message: fromJson(type, said, { ignoreUnknownFields: true }), tag: answer.headers.get("etag") ?? "" };
}

/** Undefined where the tag does not fit any more. */
async function send<Answer extends DescMessage>(
  {
    path,
    changePath = path,
    method,
    body,
    answer: type,
  }: Pick<Change<DescMessage, Answer>, "path" | "changePath" | "method" | "body" | "answer">,
  tag: string | undefined,
): Promise<MessageShape<Answer> | undefined> {
  const headers = { "content-type": "application/json", ...(tag === undefined ? {} : { "if-match": tag }) };
  const answer = await ask(changePath, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const said = await bodyOf(answer);
  if (answer.ok) return fromJson(type, said, { ignoreUnknownFields: true });
  if (answer.status === 412 && errorIn(said).field === "If-Match") return undefined;
  throw problemIn(said, answer.status);
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, { ...init, cache: "no-store", signal: AbortSignal.timeout(15_000) });
  } catch (cause) {
    throw new ConnectError("not reached", Code.Unavailable, undefined, undefined, cause);
  }
}

const bodyOf = (answer: Response): Promise<JsonValue> => answer.json().catch(() => null) as Promise<JsonValue>;

type Said = Partial<Readonly<Record<"code" | "message" | "hint" | "field", string>>>;
const errorIn = (said: JsonValue): Said => (said as { error?: Said } | null)?.error ?? {};

function problemIn(said: JsonValue, status: number): ConnectError {
  const { code, message = `status ${status}`, hint = "", field } = errorIn(said);
  if (code === undefined) return new ConnectError(message, status >= 500 ? Code.Unavailable : Code.Internal);
  const metadata: Record<string, string> = { "aether-code": code, "aether-hint": encodeURIComponent(hint) };
  // As the other calls spell it: policy.settings.rpo_seconds.
  const path = field?.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  if (path !== undefined) metadata["aether-field"] = encodeURIComponent(path);
  return new ConnectError(message, Code.FailedPrecondition, metadata);
}
