// RiskService: assessments as they are and were, their reasons, one stateless analysis, and the replay of a move policy.
import { fault } from "@aether/contract";
import { AssessmentSchema, type RiskContribution, RiskService } from "@aether/contract/gen/aether/v2/risk_pb";
import { type Contribution, describeAssessment } from "@aether/risk";
import type { ConnectRouter } from "@connectrpc/connect";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import { answerAnalyze } from "./analyze.ts";
import type { RiskSettings } from "./assessments.ts";
import { replayPolicy } from "./replay.ts";
import { survivalCurve } from "./survival.ts";
import type { Weighing } from "./weigh.ts";

export interface RiskServiceOptions {
  readonly db: Db;
  readonly settings: RiskSettings;
  readonly weighing: Weighing;
  readonly nowMs: () => number;
}

export function riskRoutes({ db, settings, weighing, nowMs }: RiskServiceOptions): (router: ConnectRouter) => void {
  return (router) =>
    router.service(RiskService, {
      analyze: (request) => answerAnalyze(request, settings.thresholds),
      async listAssessments({ page, kind }) {
        if (!["", "node", "pool"].includes(kind))
          throw fault("INVALID_ARGUMENT", `kind is node or pool, not ${JSON.stringify(kind.slice(0, 40))}`, { field: "kind" });
        const { limit, after } = parsePage(page);
        let query = db
          .selectFrom("assessments")
          .select(["subject", "probability", "body"])
          .orderBy("probability", "desc")
          .orderBy("subject")
          .limit(limit + 1);
        if (kind !== "") query = query.where("subject", "like", `${kind}/%`);
        if (after !== undefined) {
          const [probability, subject] = parseCursor(after);
          query = query.where(({ or, and, eb }) =>
            or([eb("probability", "<", probability), and([eb("probability", "=", probability), eb("subject", ">", subject)])]),
          );
        }
        const { rows, nextPageToken } = cutPage(await query.execute(), limit, (row) => `${row.probability} ${row.subject}`);
        return { assessments: rows.map(({ body }) => fromColumn(AssessmentSchema, body)), nextPageToken };
      },
      async explainRisk({ subject }) {
        const row = await db.selectFrom("assessments").select("body").where("subject", "=", requireSubject(subject)).executeTakeFirst();
        if (row === undefined)
          throw fault("NODE_NOT_FOUND", `there is no assessment of ${JSON.stringify(subject.slice(0, 120))}`, {
            field: "subject",
            hint: "`aether risk` lists what is assessed: spot nodes, and the pools that they are in.",
          });
        const assessment = fromColumn(AssessmentSchema, row.body);
        return {
          assessment,
          lines: describeAssessment({ ...assessment, contributions: assessment.contributions.map(asContribution) }),
          survival: survivalCurve(assessment),
        };
      },
      async listRiskHistory({ page, subject }) {
        const { limit, after } = parsePage(page);
        let query = db
          .selectFrom("assessment_history")
          .select(["id", "body"])
          .where("subject", "=", requireSubject(subject))
          .orderBy("id", "desc")
          .limit(limit + 1);
        if (after !== undefined) query = query.where("id", "<", after);
        const { rows, nextPageToken } = cutPage(await query.execute(), limit, (row) => row.id);
        return { assessments: rows.map(({ body }) => fromColumn(AssessmentSchema, body)), nextPageToken };
      },
      replayPolicy: (request) => replayPolicy({ db, ...weighing }, request, nowMs()),
    });
}

function requireSubject(subject: string): string {
  if (/^(node|pool)\/[a-z0-9./-]{1,120}$/.test(subject)) return subject;
  throw fault("INVALID_ARGUMENT", `subject is node/ID or pool/REGION/ZONE/INSTANCE_TYPE, not ${JSON.stringify(subject.slice(0, 120))}`, {
    field: "subject",
  });
}

function parseCursor(after: string): readonly [number, string] {
  const [probability = "", subject = ""] = after.split(" ");
  const value = Number(probability);
  if (probability === "" || !Number.isFinite(value))
    throw fault("INVALID_ARGUMENT", "page.page_token is not one of ours", { field: "page.page_token" });
  return [value, subject];
}

const asContribution = ({ name, words, points, source }: RiskContribution): Contribution => ({
  name,
  words,
  points,
  source: source === "prior" || source === "certain" ? source : "learnt",
});
