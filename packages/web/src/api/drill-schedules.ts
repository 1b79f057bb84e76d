// Drills that begin by themselves: read by the drills' page alone.
import { DrillScheduleService } from "@aether/contract/gen/aether/v2/drill_schedule_pb";
import { createClient } from "@connectrpc/connect";
import { queryOptions } from "@tanstack/react-query";
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
