// What leaves in a diagnostics bundle is looked through once more, whatever table it is from: values under names that promise a secret, environment
// variables, arguments behind such a name, our own tokens, private keys, passwords in URLs. Pure. Names stay, so that a reader sees what is missing.
import type { JsonValue } from "@bufbuild/protobuf";

export const covered = "(left out)";

const secretName = /pass(word|wd|phrase)?|secret|token|credential|private_?key|api_?key|cookie|authorization|_hash$|sha256$/i;
/** Names that only look so. */
const harmlessName = /^(nextPageToken|filesSha256|manifestSha256|manifest_sha256|sha256|previous_hash|keyId|join_tokens?)$/i;
const secretText: readonly [RegExp, string][] = [
  [/\b(at|aj|as)_[\w-]{20,}(\.[\w-]+)?/g, covered],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, covered],
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@:]*:[^\s/@]+@/gi, `$1${covered}@`],
  [/\bBearer [\x21-\x7e]{8,}/g, `Bearer ${covered}`],
  [/\b(AKIA|ASIA)[A-Z0-9]{16}\b/g, covered],
];

/** A copy without secrets, at any depth. */
export function withoutSecrets(value: JsonValue, name = ""): JsonValue {
  if (value === null || typeof value === "number" || typeof value === "boolean") return value;
  if (typeof value === "string") return isSecretName(name) && value !== "" ? covered : cleanText(value);
  if (Array.isArray(value))
    return /^(argv|args|command)$/i.test(name) ? cleanArguments(value) : value.map((each) => withoutSecrets(each, name));
  const isEnvironment = /^env(ironment)?$/i.test(name);
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, isEnvironment && typeof each === "string" ? covered : withoutSecrets(each, key)]),
  );
}

const isSecretName = (name: string): boolean => secretName.test(name) && !harmlessName.test(name);

/** `--requirepass X`, `-p=X`, `PASSWORD=X`. */
function cleanArguments(list: readonly JsonValue[]): JsonValue[] {
  return list.map((each, i) => {
    if (typeof each !== "string") return each;
    const before = list[i - 1];
    if (typeof before === "string" && /^-|^[\w-]+$/.test(before) && secretName.test(before) && !before.includes("=")) return covered;
    const pair = /^([^=\s]+)=/.exec(each)?.[1];
    return pair !== undefined && secretName.test(pair) ? `${pair}=${covered}` : cleanText(each);
  });
}

/** Text that may hold anything: a message, a line of output, JSON in a text. */
export function cleanText(text: string): string {
  if (/^\s*[[{]/.test(text)) {
    try {
      return JSON.stringify(withoutSecrets(JSON.parse(text) as JsonValue));
    } catch {
      // not JSON: as any text
    }
  }
  return secretText.reduce((clean, [pattern, by]) => clean.replace(pattern, by), text);
}
