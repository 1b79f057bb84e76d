// What a database said no to, the same from both engines.

/** `code` is the SQLSTATE. */
export class StatementError extends Error {
  readonly code: string | undefined;
  readonly constraint: string | undefined;
  constructor(message: string, code: string | undefined, constraint: string | undefined, options?: ErrorOptions) {
    super(message, options);
    this.name = "StatementError";
    this.code = code;
    this.constraint = constraint;
  }
}

/** Two transactions waited for each other, and this one was chosen to give way: the same again goes through. */
export const isDeadlock = (caught: unknown): boolean =>
  caught instanceof StatementError && (caught.code === "40P01" || caught.code === "40001");

/** Did a unique index refuse the row? `constraint`: only this one. */
export function isUniqueViolation(caught: unknown, constraint?: string): boolean {
  return caught instanceof StatementError && caught.code === "23505" && (constraint === undefined || caught.constraint === constraint);
}
