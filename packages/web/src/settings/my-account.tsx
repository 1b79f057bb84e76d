import { Role } from "@aether/contract/gen/aether/v2/options_pb";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api/clients.ts";
import { problemOf } from "../api/problem.ts";
import { useAct } from "../app/act.ts";
import { useCaller } from "../app/caller.tsx";
import { words } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Facts } from "../ui/facts.tsx";
import { TextField } from "../ui/fields.tsx";
import { Form } from "../ui/form.tsx";
import { Panel } from "../ui/panel.tsx";
import { Time } from "../ui/time.tsx";
import { SessionTable } from "./sessions.tsx";

export function MyAccount() {
  const { account, actor, role } = useCaller();
  const { data: sessions = [] } = useQuery({
    queryKey: ["session"],
    queryFn: async ({ signal }) => (await api.accounts.listSessions({ page: { pageSize: 100 } }, { signal })).sessions,
  });
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      <Panel title="Who you are">
        <Facts
          facts={[
            ["name", account?.name ?? actor],
            ["role", <Badge>{words(Role[role])}</Badge>],
            account !== undefined && account.issuer !== "" && ["vouched for by", account.issuer],
            account !== undefined && ["since", <Time at={account.createdAt} />],
          ]}
        />
      </Panel>
      {account !== undefined && account.issuer === "" && <Password hasPassword={account.hasPassword} />}
      <Panel title="Where you are signed in" className="lg:col-span-2" isFlush>
        <SessionTable sessions={sessions} />
      </Panel>
    </div>
  );
}

function Password({ hasPassword }: { hasPassword: boolean }) {
  const client = useQueryClient();
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const change = useAct(() => api.accounts.changePassword({ currentPassword: current, newPassword: next }), {
    touches: ["session"],
    done: () => "The password is changed; your other sessions have ended.",
    onDone: () => {
      setCurrent("");
      setNext("");
      void client.invalidateQueries({ queryKey: ["caller"] });
    },
  });
  const problem = change.error === null ? undefined : problemOf(change.error);
  return (
    <Panel title={hasPassword ? "Change the password" : "Set a password"}>
      <Form onSubmit={() => change.mutate(undefined)}>
        {hasPassword && (
          <TextField
            label="Current password"
            type="password"
            autoComplete="current-password"
            value={current}
            onChange={(event) => setCurrent(event.target.value)}
            required
          />
        )}
        <TextField
          label="New password"
          type="password"
          autoComplete="new-password"
          minLength={12}
          value={next}
          onChange={(event) => setNext(event.target.value)}
          note={hasPassword ? "12 characters or more" : "You came by a one-time link. With a password you can come again."}
          problem={problem?.field === "new_password" ? problem.message : undefined}
          required
        />
        <Button tone="primary" type="submit" isBusy={change.isPending}>
          {hasPassword ? "Change it" : "Set it"}
        </Button>
      </Form>
    </Panel>
  );
}
