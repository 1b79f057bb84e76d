// Drills that begin by themselves: read by the drills' page alone.
import {
  DeleteDrillScheduleResponseSchema,
  type DrillSchedule,
  DrillScheduleService,
  GetDrillScheduleResponseSchema,
  PauseDrillScheduleResponseSchema,
  ResumeDrillScheduleResponseSchema,
} from "@aether/contract/gen/aether/v2/drill_schedule_pb";
import type { DescMessage, JsonValue } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { queryOptions } from "@tanstack/react-query";
import { changeUnlessOvertaken } from "./if-match.ts";
import { everyPage } from "./lists.ts";
import { transport } from "./transport.ts";

export const scheduleApi = createClient(DrillScheduleService, transport);

export const schedules = () =>
  queryOptions({
    queryKey: ["drill-schedule"],
    queryFn: ({ signal }) =>
      everyPage(
        (page) => scheduleApi.listDrillSchedules({ page }, { signal }),
        ({ schedules: found }) => found,
        200,
      ),
  });

interface Change {
  readonly method: "POST" | "DELETE";
  /** Behind the schedule's own address. */
  readonly verb: string;
  readonly body?: JsonValue;
  readonly answer: DescMessage;
}

const changes: Readonly<Record<"pause" | "resume" | "remove", Change>> = {
  pause: { method: "POST", verb: ":pause", body: {}, answer: PauseDrillScheduleResponseSchema },
  resume: { method: "POST", verb: ":resume", body: {}, answer: ResumeDrillScheduleResponseSchema },
  remove: { method: "DELETE", verb: "", answer: DeleteDrillScheduleResponseSchema },
};

/** Of one that still is as it was seen. Throws Overtaken with the GetDrillScheduleResponse of now, or with undefined where it was removed. */
export async function changeSchedule(seen: DrillSchedule, what: keyof typeof changes): Promise<void> {
  const path = `/api/v2/drill-schedules/${encodeURIComponent(seen.id)}`;
  const { verb, ...change } = changes[what];
  await changeUnlessOvertaken({
    ...change,
    path,
    changePath: `${path}${verb}`,
    type: GetDrillScheduleResponseSchema,
    isSame: (now) => now?.schedule !== undefined && now.schedule.isPaused === seen.isPaused,
  });
}
