// Runs that an alert begins, as the webhooks of Alertmanager and Grafana tell them (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config). They tell
// an alert again and again while it fires, and several in one call: each begins one run, by its fingerprint and start.
import { Fault, fault } from "@aether/contract";
import { ErrorDetailSchema } from "@aether/contract/gen/aether/v2/common_pb";
import { type AlertOutcome, AlertOutcomeSchema, type Runbook } from "@aether/contract/gen/aether/v2/runbook_pb";
import { create, type JsonObject } from "@bufbuild/protobuf";
import { z } from "zod";
import type { Db } from "../db/database.ts";
import type { RunRow } from "./store.ts";

const short = z.string().min(1).max(200);
const notificationShape = z.object({
  alerts: z
    .array(
      z.object({
        status: z.string(),
        fingerprint: short,
        startsAt: short,
        labels: z.record(z.string(), z.string()).default({}),
      }),
    )
    .max(100),
});

export interface FiringAlert {
  /** FINGERPRINT@STARTS_AT */
  readonly key: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Those that fire; one that is resolved begins nothing. Throws INVALID_ARGUMENT that names the field. */
export function parseNotification(notification: JsonObject | undefined): FiringAlert[] {
  const parsed = notificationShape.safeParse(notification ?? {});
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const path = (issue?.path ?? []).map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
    throw fault("INVALID_ARGUMENT", `notification${path}: ${issue?.message ?? "is not one"}`, { field: `notification${path}` });
  }
  return parsed.data.alerts
    .filter(({ status }) => status === "firing")
    .map(({ fingerprint, startsAt, labels }) => ({ key: `${fingerprint}@${startsAt}`, labels }));
}

/** Throws the first error where no alert has begun a run, now or before. */
export async function runForAlerts(
  db: Db,
  runbook: Runbook,
  alerts: readonly FiringAlert[],
  begin: (alert: FiringAlert, parameters: Readonly<Record<string, string>>) => Promise<RunRow>,
): Promise<AlertOutcome[]> {
  const outcomes: AlertOutcome[] = [];
  let first: Fault | undefined;
  for (const alert of alerts) {
    const known = await db
      .selectFrom("runbook_runs")
      .select("id")
      .where("runbook", "=", runbook.name)
      .where("alert", "=", alert.key)
      .executeTakeFirst();
    if (known !== undefined) {
      outcomes.push(create(AlertOutcomeSchema, { alert: alert.key, runId: known.id, isKnown: true }));
      continue;
    }
    // Labels that are no parameters say what the alert is about, and are not for the run.
    const given = runbook.parameters.flatMap(({ name }) => {
      const value = Object.hasOwn(alert.labels, name) ? alert.labels[name] : undefined;
      return value === undefined ? [] : [[name, value] as const];
    });
    try {
      const run = await begin(alert, Object.fromEntries(given));
      outcomes.push(create(AlertOutcomeSchema, { alert: alert.key, runId: run.id }));
    } catch (caught) {
      const problem = Fault.from(caught);
      // What may pass is told to the sender, which then tells the alert again.
      if (problem.row.retry !== "never") throw problem;
      first ??= problem;
      const { code, message, hint, field = "" } = problem;
      outcomes.push(create(AlertOutcomeSchema, { alert: alert.key, error: create(ErrorDetailSchema, { code, message, hint, field }) }));
    }
  }
  if (first !== undefined && outcomes.every(({ runId }) => runId === "")) throw first;
  return outcomes;
}
