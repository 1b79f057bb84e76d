// Where this machine has a PostgreSQL server for tests, and as whom it runs. Imports nothing of the project: the tests' own configuration asks too.
import { accessSync, constants, readdirSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";

/** The directory of `postgres` and `initdb`. */
export const postgresPrograms: string | undefined = findPrograms();
/** For root, whom PostgreSQL refuses; undefined for everybody else. */
export const postgresOwner: { readonly uid: number; readonly gid: number } | undefined =
  process.getuid?.() === 0 ? unprivileged() : undefined;

/** Why there is no server to test with; undefined: there is. */
export const postgresIsMissing: string | undefined =
  postgresPrograms === undefined
    ? "no PostgreSQL server on this machine (Debian: postgresql)"
    : process.getuid?.() === 0 && postgresOwner === undefined
      ? "PostgreSQL does not run as root, and there is no user postgres or nobody"
      : undefined;

/** On the PATH, or where Debian and Ubuntu have them, the newest first. */
function findPrograms(): string | undefined {
  const versions = list("/usr/lib/postgresql").sort((a, b) => Number(b) - Number(a));
  const dirs = [...(process.env.PATH ?? "").split(delimiter), ...versions.map((version) => `/usr/lib/postgresql/${version}/bin`)];
  return dirs.find((dir) => dir.startsWith("/") && ["postgres", "initdb"].every((name) => isExecutable(join(dir, name))));
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return []; // absent: no package of the distribution
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function unprivileged(): { uid: number; gid: number } | undefined {
  const rows = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  const row = rows.find(([name]) => name === "postgres") ?? rows.find(([name]) => name === "nobody");
  return row === undefined ? undefined : { uid: Number(row[2]), gid: Number(row[3]) };
}
