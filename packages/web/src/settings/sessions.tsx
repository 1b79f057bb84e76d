import type { Session } from "@aether/contract/gen/aether/v2/account_pb";
import { api } from "../api/clients.ts";
import { useAct } from "../app/act.ts";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { browserName } from "./browser-name.ts";

export function SessionTable({ sessions, withAccount = false }: { sessions: readonly Session[]; withAccount?: boolean }) {
  const revoke = useAct((id: string) => api.accounts.revokeSession({ id }), {
    touches: ["session"],
    done: () => "That session has ended.",
  });
  if (sessions.length === 0) return <p className="px-4 py-6 text-soft">No browser is signed in.</p>;
  return (
    <Table label="Sessions" head={[...(withAccount ? ["account"] : []), "browser", "from", "signed in", "last seen", "ends", ""]}>
      {sessions.map((session) => (
        <Row key={session.id}>
          {withAccount && <Cell>{session.account}</Cell>}
          <Cell title={session.userAgent}>
            {browserName(session.userAgent)} {session.isCurrent && <Badge tone="accent">this one</Badge>}
          </Cell>
          <Cell className="font-mono text-xs">{session.sourceAddress}</Cell>
          <Cell>
            <Time at={session.createdAt} />
          </Cell>
          <Cell>
            <Time at={session.seenAt} isAgo />
          </Cell>
          <Cell>
            <Time at={session.expiresAt} />
          </Cell>
          <Cell className="text-right">
            {!session.isCurrent && (
              <Button onClick={() => revoke.mutate(session.id)} isBusy={revoke.isPending && revoke.variables === session.id}>
                End it
              </Button>
            )}
          </Cell>
        </Row>
      ))}
    </Table>
  );
}
