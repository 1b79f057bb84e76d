// What an audit entry holds besides who, what and when: the fields that an act has changed, as they were and as they are, and what was said in the request. Pure.
export interface Change {
  /** "settings.maxFreezeMs" */
  readonly path: string;
  /** Undefined: it was not there. */
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface Details {
  readonly changes: readonly Change[];
  readonly said: readonly (readonly [name: string, value: string])[];
}

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);
const shown = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

export function detailsOf(dataJson: string): Details {
  const data = parsed(dataJson);
  const [before, after] = [isFields(data.before) ? data.before : {}, isFields(data.after) ? data.after : {}];
  const at = (from: Fields, path: string) => (Object.hasOwn(from, path) ? shown(from[path]) : undefined);
  const paths = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return {
    changes: paths.map((path) => ({ path, before: at(before, path), after: at(after, path) })),
    said: Object.entries(data)
      .filter(([name, value]) => !((name === "before" || name === "after") && isFields(value)))
      .map(([name, value]) => [name, Array.isArray(value) ? value.map(shown).join(" ") : shown(value)]),
  };
}

function parsed(json: string): Fields {
  try {
    const value: unknown = JSON.parse(json === "" ? "{}" : json);
    return isFields(value) ? value : { data: json };
  } catch {
    return { data: json };
  }
}
