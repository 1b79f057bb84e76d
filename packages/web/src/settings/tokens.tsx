import type { Token } from "@aether/contract/gen/aether/v2/access_pb";
import { Role } from "@aether/contract/gen/aether/v2/options_pb";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { tokenApi } from "../api/tokens.ts";
import { useAct } from "../app/act.ts";
import { msOf } from "../format/time.ts";
import { words } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { useNow } from "../ui/now.ts";
import { Panel } from "../ui/panel.tsx";
import { Cell, Row, Table, wideOnly } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { type Made, NewNamed, ShownOnce } from "./new-named.tsx";

const roles = [Role.AGENT, Role.VIEWER, Role.OPERATOR, Role.ADMIN] as const;

export default function Tokens() {
  const { data: tokens = [] } = useQuery({
    queryKey: ["token"],
    queryFn: async ({ signal }) => (await tokenApi.listTokens({ page: { pageSize: 200 } }, { signal })).tokens,
  });
  const [made, setMade] = useState<Made>();
  return (
    <div className="grid items-start gap-4 xl:grid-cols-[minmax(0,1fr)_20rem]">
      <Panel title="Tokens of programs and nodes" isFlush>
        <Table label="Tokens" head={["name", "role", "state", "last used", "ends", ""]} wide={[3, 4]}>
          {tokens.map((token) => (
            <TokenRow key={token.id} token={token} />
          ))}
        </Table>
      </Panel>
      <NewNamed
        title="New token"
        roles={roles}
        nameNote="what it is for"
        roleNote={(role) => (role === Role.AGENT ? "Lets one node join, once, within the hour." : "Valid for 90 days.")}
        button="Make it"
        touches="token"
        make={async (name, role) => ({ name, secret: (await tokenApi.createToken({ name, role })).secret })}
        onMade={setMade}
      />
      {made !== undefined && (
        <ShownOnce title={`Token ${made.name}`} secret={made.secret} onClose={() => setMade(undefined)}>
          It is shown only now: only its hash is kept.
        </ShownOnce>
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
      <Cell className="min-w-32 wrap-anywhere">
        <span className="font-medium">{token.name}</span>
        <span className="block text-xs text-soft">
          made <Time at={token.createdAt} />
        </span>
      </Cell>
      <Cell>{words(Role[token.role])}</Cell>
      <Cell>
        {isValid ? <Badge tone="good">valid</Badge> : <Badge>{token.isRevoked ? "revoked" : isUsedUp ? "used" : "expired"}</Badge>}
      </Cell>
      <Cell className={wideOnly}>
        {token.usedAt === undefined ? <span className="text-soft">never</span> : <Time at={token.usedAt} isAgo />}
      </Cell>
      <Cell className={wideOnly}>
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
