// Where core keeps what it knows: its own embedded database, or a PostgreSQL server. A server is configured wholly or not at all.
import { z } from "zod";

const postgres = z.strictObject({
  host: z.string().min(1).describe("A host name or address, or the directory of a unix socket."),
  port: z.int().min(1).max(65_535).default(5432).describe("Of the server."),
  name: z.string().min(1).describe("Of the database; it must exist. Its schema is made and brought up to date by core."),
  user: z.string().min(1).describe("The role that core connects as; it owns the schema."),
  passwordFile: z
    .string()
    .startsWith("/")
    .optional()
    .describe("Holds the password; read at each connection, so it may change while core runs. Without it: trust or peer authentication."),
  tls: z
    .enum(["off", "verify"])
    .default("off")
    .describe("verify: the server's certificate must be valid for `host`. A server that is reached over a network should have it."),
  caFile: z
    .string()
    .startsWith("/")
    .optional()
    .describe("PEM of the authority that signed the server's certificate, where it is not one of the system's."),
  poolSize: z.int().min(2).max(200).default(10).describe("Connections of this process."),
});

export type PostgresConfig = z.infer<typeof postgres>;

/** Nothing at all: embedded. Anything: all of what a server needs, or core does not start. */
export const databaseConfig = z
  .preprocess(
    (value) => (typeof value === "object" && value !== null && Object.keys(value).length === 0 ? undefined : value),
    postgres.optional(),
  )
  .optional();
