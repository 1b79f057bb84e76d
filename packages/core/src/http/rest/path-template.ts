// Path templates of google.api.http (google/api/http.proto, "Path template syntax"): `/api/v2/nodes/{id}:cordon`, `{name=nodes/*}`.
import { fault } from "@aether/contract";

export interface PathTemplate {
  /** Matches a path that is still percent-encoded; one group a variable. */
  readonly regexp: RegExp;
  /** Field paths, in the order of the groups. */
  readonly variables: readonly (readonly string[])[];
}

/** Compiles a template. Throws CONFIG_INVALID for one that is not well formed: a mistake in the contract, found at start. */
export function compileTemplate(template: string): PathTemplate {
  const variables: string[][] = [];
  let source = "";
  let rest = template;
  for (let open = rest.indexOf("{"); open >= 0; open = rest.indexOf("{")) {
    const close = rest.indexOf("}", open);
    if (close < 0) throw fault("CONFIG_INVALID", `path template ${template}: "{" without "}"`);
    const [path = "", pattern = "*"] = rest.slice(open + 1, close).split("=", 2);
    if (!/^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*$/.test(path)) {
      throw fault("CONFIG_INVALID", `path template ${template}: "${path}" is not a field path`);
    }
    variables.push(path.split("."));
    source += `${segments(rest.slice(0, open))}(${segments(pattern)})`;
    rest = rest.slice(close + 1);
  }
  return { regexp: new RegExp(`^${source}${segments(rest)}$`), variables };
}

/** A colon ends a segment: what follows it is a custom verb. In a name it must come percent-encoded. */
function segments(text: string): string {
  return text.replace(/\*\*|\*|[.+?^${}()|[\]\\]/g, (match) => (match === "**" ? ".+" : match === "*" ? "[^/:]+" : `\\${match}`));
}
