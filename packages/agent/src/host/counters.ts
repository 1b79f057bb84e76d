// Counters that only grow, of the kernel's own files, and rates from two looks at them. What a file does not say is undefined, never 0.

/** PSI (Documentation/accounting/psi.rst): µs in which at least one task waited. */
export function parsePressure(text: string | undefined): number | undefined {
  const total = /^some .*total=(\d+)$/m.exec(text ?? "")?.[1];
  return total === undefined ? undefined : Number(total);
}

/** One line of /proc/PID/net/dev (proc(5)): bytes received and sent over an interface. */
export function parseInterface(text: string | undefined, name: string): { received: number; sent: number } | undefined {
  const line = (text ?? "").split("\n").find((one) => one.trimStart().startsWith(`${name}:`));
  const fields = line
    ?.slice(line.indexOf(":") + 1)
    .trim()
    .split(/\s+/);
  return fields === undefined || fields.length < 9 ? undefined : { received: Number(fields[0]), sent: Number(fields[8]) };
}

/** A value of "name value" lines: cpu.stat, memory.stat. */
export function parseStat(text: string | undefined, name: string): number | undefined {
  const value = new RegExp(`^${name} (\\d+)$`, "m").exec(text ?? "")?.[1];
  return value === undefined ? undefined : Number(value);
}

/** A value of /proc/PID/net/snmp: two lines of a protocol, names and values (RFC 4022 names for Tcp). */
export function parseSnmp(text: string | undefined, protocol: string, name: string): number | undefined {
  const [names, values] = (text ?? "")
    .split("\n")
    .filter((line) => line.startsWith(`${protocol}:`))
    .map((line) => line.split(" "));
  const value = values?.[names?.indexOf(name) ?? -1];
  return value === undefined ? undefined : Number(value);
}

/** Turns readings of growing counters into rates a second. One that went back (a new process, a new namespace) gives no rate this time. */
export function createRates(): (key: string, value: number | undefined, atMs: number) => number | undefined {
  const before = new Map<string, { value: number; atMs: number }>();
  return (key, value, atMs) => {
    const last = before.get(key);
    if (value === undefined) before.delete(key);
    else before.set(key, { value, atMs });
    if (value === undefined || last === undefined || value < last.value || atMs <= last.atMs) return undefined;
    return ((value - last.value) / (atMs - last.atMs)) * 1000;
  };
}

/** A message's fields, all of them optional. */
export type FieldsOf<Message> = Partial<Omit<Message, "$typeName" | "$unknown">>;

/** The entries that have a value. */
export function known<Fields extends object>(fields: { [Name in keyof Fields]?: Fields[Name] | undefined }): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Fields;
}
