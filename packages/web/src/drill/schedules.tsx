// Drills that begin by themselves: when, what became of the last time, and a way to make, pause and remove one.
import type { DrillSchedule, GetDrillScheduleResponse } from "@aether/contract/gen/aether/v2/drill_schedule_pb";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { changeSchedule, scheduleApi, schedules } from "../api/drill-schedules.ts";
import { Overtaken } from "../api/overtaken.ts";
import { problemOf } from "../api/problem.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { duration, plural } from "../format/units.ts";
import { Ask } from "../ui/ask.tsx";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { SelectField, TextField } from "../ui/fields.tsx";
import { Form } from "../ui/form.tsx";
import { NodeLink } from "../ui/links.tsx";
import { OvertakenDialog } from "../ui/overtaken.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { kindTitle } from "./kinds.ts";
import { useWanted } from "./start.tsx";

export default function Schedules() {
  const { data, error, refetch } = useQuery(schedules());
  return (
    <div className="grid items-start gap-4 lg:grid-cols-[20rem_minmax(0,1fr)]">
      <For as="operator">
        <NewSchedule />
      </For>
      <div className="min-w-0">
        {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
        {data !== undefined && (
          <Panel title="Schedules" isFlush>
            {data.length === 0 ? (
              <Empty command={"aether drill schedule create weekly --cron '0 3 * * mon'"}>
                No drill begins by itself. One a week keeps what the certificates foretell true.
              </Empty>
            ) : (
              <Table label="Schedules" head={["name", "drill", "when", "last time", ""]}>
                {data.map((schedule) => (
                  <ScheduleRow key={schedule.id} schedule={schedule} />
                ))}
              </Table>
            )}
          </Panel>
        )}
      </div>
    </div>
  );
}

function ScheduleRow({ schedule }: { schedule: DrillSchedule }) {
  const { name, kind, nodeId, isPaused, nextAt, lastAt, lastDrillId, lastOutcome, missedCount, createdBy } = schedule;
  const [isAsking, setAsking] = useState(false);
  const change = useAct(
    async ({ seen, what }: { seen: DrillSchedule; what: Change }) => {
      await changeSchedule(seen, what);
      return what;
    },
    {
      touches: ["drill-schedule"],
      done: (what) =>
        what === "remove"
          ? `The schedule ${name} is removed. Its drills stay on record.`
          : what === "resume"
            ? `${name} begins drills again.`
            : `${name} begins nothing until it is resumed.`,
    },
  );
  const make = (what: Change, seen = schedule) => {
    setAsking(false);
    change.mutate({ seen, what });
  };
  /** Null: it was removed. */
  const overtaken =
    change.error instanceof Overtaken ? ((change.error.theirs as GetDrillScheduleResponse | undefined)?.schedule ?? null) : undefined;
  const wanted = change.variables?.what;
  return (
    <Row>
      <Cell className="min-w-24 font-medium wrap-anywhere" title={`made by ${createdBy}`}>
        {name}
      </Cell>
      <Cell>
        {kindTitle(kind)} {nodeId === "" ? <span className="text-soft">for the busiest node</span> : <NodeLink id={nodeId} />}
      </Cell>
      <Cell className="whitespace-nowrap">
        <span className="nums">{timing(schedule)}</span>
        <span className="block text-xs text-soft">
          {isPaused ? (
            <Badge>paused</Badge>
          ) : (
            <>
              next <Time at={nextAt} />
            </>
          )}
        </span>
      </Cell>
      <Cell className="min-w-24">
        {lastOutcome === "" ? (
          <span className="text-soft">not yet</span>
        ) : (
          <>
            {lastDrillId !== "" && lastOutcome === "begun" ? (
              <Link to="/drills/$id" params={{ id: lastDrillId }} className="underline">
                <Time at={lastAt} />
              </Link>
            ) : (
              <>
                <Time at={lastAt} /> <span className="wrap-anywhere text-warn">{lastOutcome}</span>
              </>
            )}
            {missedCount > 0 && <span className="block text-xs text-soft">{plural(missedCount, "time")} passed without a drill</span>}
          </>
        )}
      </Cell>
      <Cell>
        <For as="operator">
          <span className="flex flex-wrap justify-end gap-2">
            <Button onClick={() => make(isPaused ? "resume" : "pause")} isBusy={change.isPending}>
              {isPaused ? "Resume" : "Pause"}
            </Button>
            <Button onClick={() => setAsking(true)}>Remove</Button>
          </span>
        </For>
        {overtaken !== undefined && wanted !== undefined && (
          <OvertakenDialog
            title={`${name} was changed meanwhile`}
            goOn={goOnWords[wanted]}
            onGoOn={overtaken === null ? undefined : () => make(wanted, overtaken)}
            onClose={() => change.reset()}
          >
            {overtaken === null
              ? "Somebody else has removed this schedule."
              : `Somebody else was faster: it is ${overtaken.isPaused ? "paused" : "on"} now. Nothing of yours is done.`}
          </OvertakenDialog>
        )}
        {isAsking && (
          <Ask title={`Remove the schedule ${name}?`} act="Remove it" onAct={() => make("remove")} onClose={() => setAsking(false)}>
            <p>It begins no drill any more. The drills that it began stay on record.</p>
          </Ask>
        )}
      </Cell>
    </Row>
  );
}

type Change = Parameters<typeof changeSchedule>[1];
const goOnWords: Readonly<Record<Change, string>> = { pause: "Pause it", resume: "Resume it", remove: "Remove it all the same" };

const timing = ({ cron, everySeconds, timeZone }: DrillSchedule): string =>
  cron === "" ? `every ${duration(everySeconds * 1000)}` : `${cron} (${timeZone || "UTC"})`;

/** Times that one wants, in cron's five fields; anything else is written by hand. */
const presets = [
  { cron: "0 3 * * mon", title: "Mondays at 03:00" },
  { cron: "0 10 * * tue,thu", title: "Tuesdays and Thursdays at 10:00" },
  { cron: "0 3 1 * *", title: "the first of each month at 03:00" },
] as const;

function NewSchedule() {
  const { wanted, fields } = useWanted(true);
  const [name, setName] = useState("");
  const [preset, setPreset] = useState<string>(presets[0].cron);
  const [own, setOwn] = useState("");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const make = useAct(() => scheduleApi.createDrillSchedule({ ...wanted, name: name.trim(), cron: preset || own.trim(), timeZone: zone }), {
    touches: ["drill-schedule"],
    done: ({ schedule }) => `${schedule?.name ?? "It"} is on the schedule.`,
    onDone: () => setName(""),
  });
  const problem = make.error === null ? undefined : problemOf(make.error);
  return (
    <Panel title="New schedule">
      <Form onSubmit={() => make.mutate(undefined)}>
        <TextField
          label="Name"
          value={name}
          autoComplete="off"
          placeholder="weekly"
          onChange={(event) => setName(event.target.value)}
          problem={problem?.field === "name" ? problem.message : undefined}
          required
        />
        {fields}
        <SelectField label="When" value={preset} onChange={(event) => setPreset(event.target.value)} note={`In ${zone}.`}>
          {presets.map(({ cron, title }) => (
            <option key={cron} value={cron}>
              {title}
            </option>
          ))}
          <option value="">at a time of my own</option>
        </SelectField>
        {preset === "" && (
          <TextField
            label="Five fields of cron"
            value={own}
            placeholder="30 2 * * sun"
            onChange={(event) => setOwn(event.target.value)}
            problem={problem?.field === "cron" ? problem.message : undefined}
            note="minute, hour, day of the month, month, day of the week"
            required
          />
        )}
        <Button tone="primary" type="submit" isBusy={make.isPending}>
          Put it on the schedule
        </Button>
      </Form>
    </Panel>
  );
}
