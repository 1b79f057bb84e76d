// Accounts for tests, and signing in as a person does.
import type { Page } from "playwright-core";

export type Call = (method: string, path: string, body?: unknown) => Promise<{ status: number; body: Record<string, unknown> }>;

/** Makes the account if there is none, and answers the path of a link that signs in as it. */
export async function linkFor(call: Call, name: string, role: "ROLE_VIEWER" | "ROLE_OPERATOR" | "ROLE_ADMIN"): Promise<string> {
  await call("POST", "/api/v2/accounts", { name, role });
  const { body } = await call("POST", `/api/v2/accounts/${name}:sign-in-link`, {});
  return `/sign-in#${String(body.secret)}`;
}

/** Opens the link and waits for the dashboard. */
export async function enter(page: Page, link: string): Promise<void> {
  await page.goto(link);
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
}

export const connection = (page: Page) => page.getByRole("status");
