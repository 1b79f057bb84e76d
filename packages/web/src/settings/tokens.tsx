import type { Token } from "@aether/contract/gen/aether/v2/access_pb";
import { Role } from "@aether/contract/gen/aether/v2/options_pb";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { problemOf } from "../api/problem.ts";
import { tokenApi } from "../api/tokens.ts";
import { useAct } from "../app/act.ts";
import { msOf } from "../format/time.ts";
import { words } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Command } from "../ui/command.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { SelectField, TextField } from "../ui/fields.tsx";
import { useNow } from "../ui/now.ts";
import { Panel } from "../ui/panel.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";

const roles = [Role.VIEWER, Role.OPERATOR, Role.ADMIN, Role.AGENT] as const;

export function Tokens() {
  const { data: tokens = [] } = useQuery({
    queryKey: ["token"],
    queryFn: async ({ signal }) => (await tokenApi.listTokens({ page: { pageSize: 200 } }, { signal })).tokens,
  });
  const [made, setMade] = useState<{ name: string; secret: string }>();
  return (
    <div className="grid items-start gap-4 xl:grid-cols-[minmax(0,1fr)_20rem]">
      <Panel title="Tokens of programs and nodes" isFlush>
        <Table label="Tokens" head={["name", "role", "state", "made", "last used", "ends", ""]}>
          {tokens.map((token) => (
            <TokenRow key={token.id} token={token} />
          ))}
        </Table>
      </Panel>
      <NewToken onMade={setMade} />
      {made !== undefined && (
        <Dialog title={`Token ${made.name}`} onClose={() => setMade(undefined)}>
          <p className="mb-3">It is shown only now: only its hash is kept.</p>
          <Command text={made.secret} />
          <div className="mt-4 text-right">
            <Button onClick={() => setMade(undefined)}>Done</Button>
          </div>
        </Dialog>
      )}
    </div>
  );
}

function TokenRow({ token }: { token: Token }) {
  const nowMs = useNow();
  const revoke = useAct(() => tokenApi.revokeToken({ id: token.id }), {
    touches: ["token"],
    done: () => `The token ${token.name} is revoked.`,
  });
  const isUsedUp = token.role === Role.AGENT && token.usedAt !== undefined;
  const isOver = (msOf(token.expiresAt) ?? Number.POSITIVE_INFINITY) < nowMs;
  const isValid = !token.isRevoked && !isUsedUp && !isOver;
  return (
    <Row>
      <Cell className="font-medium break-all">{token.name}</Cell>
      <Cell>{words(Role[token.role])}</Cell>
      <Cell>
        {isValid ? <Badge tone="good">valid</Badge> : <Badge>{token.isRevoked ? "revoked" : isUsedUp ? "used" : "expired"}</Badge>}
      </Cell>
      <Cell>
        <Time at={token.createdAt} />
      </Cell>
      <Cell>{token.usedAt === undefined ? <span className="text-soft">never</span> : <Time at={token.usedAt} isAgo />}</Cell>
      <Cell>
        <Time at={token.expiresAt} />
      </Cell>
      <Cell className="text-right">
        {isValid && (
          <Button onClick={() => revoke.mutate(undefined)} isBusy={revoke.isPending}>
            Revoke
          </Button>
        )}
      </Cell>
    </Row>
  );
}

function NewToken({ onMade }: { onMade: (made: { name: string; secret: string }) => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>(Role.AGENT);
  const make = useAct(() => tokenApi.createToken({ name: name.trim(), role }), {
    touches: ["token"],
    onDone: ({ secret }) => {
      onMade({ name: name.trim(), secret });
      setName("");
    },
  });
  const problem = make.error === null ? undefined : problemOf(make.error);
  return (
    <Panel title="New token">
      <form
        className="grid gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          make.mutate(undefined);
        }}
      >
        <TextField
          label="Name"
          value={name}
          autoComplete="off"
          onChange={(event) => setName(event.target.value)}
          problem={problem?.field === "name" ? problem.message : undefined}
          note="what it is for"
          required
        />
        <SelectField
          label="Role"
          value={role}
          onChange={(event) => setRole(Number(event.target.value))}
          note={role === Role.AGENT ? "Lets one node join, once, within the hour." : "Valid for 90 days."}
        >
          {roles.map((each) => (
            <option key={each} value={each}>
              {words(Role[each])}
            </option>
          ))}
        </SelectField>
        <Button tone="primary" type="submit" isBusy={make.isPending}>
          Make it
        </Button>
      </form>
    </Panel>
  );
}
