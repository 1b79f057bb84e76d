import type { Account, GetAccountResponse } from "@aether/contract/gen/aether/v2/account_pb";
import { Role } from "@aether/contract/gen/aether/v2/options_pb";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type AccountChange, changeAccount } from "../api/accounts.ts";
import { api } from "../api/clients.ts";
import { Overtaken } from "../api/overtaken.ts";
import { useAct } from "../app/act.ts";
import { useCaller } from "../app/caller.tsx";
import { words } from "../format/units.ts";
import { Ask } from "../ui/ask.tsx";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { inputLook } from "../ui/fields.tsx";
import { OvertakenDialog } from "../ui/overtaken.tsx";
import { Panel } from "../ui/panel.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { type Made, NewNamed, ShownOnce } from "./new-named.tsx";
import { SessionTable } from "./sessions.tsx";

const roles = [Role.VIEWER, Role.OPERATOR, Role.ADMIN] as const;

export default function Accounts() {
  const { data: accounts = [] } = useQuery({
    queryKey: ["account"],
    queryFn: async ({ signal }) => (await api.accounts.listAccounts({ page: { pageSize: 1000 } }, { signal })).accounts,
  });
  const { data: sessions = [] } = useQuery({
    queryKey: ["session", "all"],
    queryFn: async ({ signal }) => (await api.accounts.listSessions({ all: true, page: { pageSize: 200 } }, { signal })).sessions,
  });
  const [link, setLink] = useState<Made>();
  return (
    <div className="grid items-start gap-4 xl:grid-cols-[minmax(0,1fr)_20rem]">
      <Panel title="Accounts" isFlush>
        <Table label="Accounts" head={["name", "role", "signs in by", "last signed in", ""]}>
          {accounts.map((account) => (
            <AccountRow key={account.name} account={account} onLink={(secret) => setLink({ name: account.name, secret })} />
          ))}
        </Table>
      </Panel>
      <NewNamed
        title="New account"
        roles={roles}
        nameNote="a-z, 0-9, dot, dash, underscore"
        roleNote={() => "A viewer looks; an operator also moves, drills and runs; an admin also manages people and tokens."}
        button="Make it and its first link"
        touches="account"
        make={makeAccount}
        onMade={setLink}
      />
      <Panel title="Who is signed in" className="xl:col-span-2" isFlush>
        <SessionTable sessions={sessions} withAccount />
      </Panel>
      {link !== undefined && (
        <ShownOnce title={`A link for ${link.name}`} secret={link.secret} onClose={() => setLink(undefined)}>
          It signs one browser in, once, within the hour. It is shown only here: give it to its owner on a way that you trust.
        </ShownOnce>
      )}
    </div>
  );
}

const linkOf = (secret: string) => `${location.origin}/sign-in#${secret}`;

function AccountRow({ account, onLink }: { account: Account; onLink: (secret: string) => void }) {
  const { name } = account;
  const isMe = useCaller().account?.name === name;
  const touches = ["account", "session"];
  const update = useAct(({ seen, change }: { seen: Account; change: AccountChange }) => changeAccount(seen, change), { touches });
  /** Null: it was deleted. */
  const overtaken =
    update.error instanceof Overtaken ? ((update.error.theirs as GetAccountResponse | undefined)?.account ?? null) : undefined;
  const wanted = update.variables?.change;
  const link = useAct(() => api.accounts.createSignInLink({ name }), { touches, onDone: ({ secret }) => onLink(linkOf(secret)) });
  const remove = useAct(() => api.accounts.deleteAccount({ name }), { touches, done: () => `The account ${name} is gone.` });
  const [isAsking, setAsking] = useState(false);
  return (
    <Row>
      <Cell>
        <span className="font-medium">{name}</span> {isMe && <Badge tone="accent">you</Badge>}{" "}
        {account.isDisabled && <Badge tone="bad">disabled</Badge>}{" "}
        {account.lockedUntil !== undefined && (
          <Badge tone="warn">
            locked until <Time at={account.lockedUntil} />
          </Badge>
        )}
      </Cell>
      <Cell>
        <select
          aria-label={`Role of ${name}`}
          className={`${inputLook} !w-auto`}
          value={account.role}
          disabled={isMe || account.issuer !== "" || update.isPending}
          onChange={(event) => update.mutate({ seen: account, change: { role: Number(event.target.value) } })}
        >
          {roles.map((role) => (
            <option key={role} value={role}>
              {words(Role[role])}
            </option>
          ))}
        </select>
      </Cell>
      <Cell className="text-soft">{account.issuer || (account.hasPassword ? "password" : "a link only")}</Cell>
      <Cell>
        <Time at={account.signedInAt} />
      </Cell>
      <Cell className="text-right whitespace-nowrap">
        {!account.isDisabled && (
          <Button tone="quiet" onClick={() => link.mutate(undefined)} isBusy={link.isPending}>
            Sign-in link
          </Button>
        )}
        {!isMe && (
          <>
            <Button
              tone="quiet"
              isBusy={update.isPending}
              onClick={() => update.mutate({ seen: account, change: { isDisabled: !account.isDisabled } })}
            >
              {account.isDisabled ? "Enable" : "Disable"}
            </Button>
            <Button tone="quiet" onClick={() => setAsking(true)}>
              Delete
            </Button>
          </>
        )}
        {overtaken !== undefined && wanted !== undefined && (
          <OvertakenDialog
            title={`${name} was changed meanwhile`}
            goOn={goOnWords(wanted)}
            onGoOn={overtaken === null ? undefined : () => update.mutate({ seen: overtaken, change: wanted })}
            onClose={() => update.reset()}
          >
            {overtaken === null
              ? "Another admin has deleted this account."
              : `Another admin was faster: ${name} is ${overtaken.isDisabled ? "disabled, " : ""}${words(Role[overtaken.role])} now. Nothing of yours is set.`}
          </OvertakenDialog>
        )}
        {isAsking && (
          <Ask
            title={`Delete the account ${name}?`}
            act="Delete it"
            isBusy={remove.isPending}
            onAct={() => remove.mutate(undefined)}
            onClose={() => setAsking(false)}
          >
            <p className="text-left whitespace-normal">Its sessions end at once. What it did stays on the audit log under its name.</p>
          </Ask>
        )}
      </Cell>
    </Row>
  );
}

const goOnWords = ({ role, isDisabled }: AccountChange): string =>
  role !== undefined ? `Make it ${words(Role[role])}` : isDisabled === true ? "Disable it" : "Enable it";

async function makeAccount(name: string, role: Role): Promise<Made> {
  await api.accounts.createAccount({ name, role });
  return { name, secret: linkOf((await api.accounts.createSignInLink({ name })).secret) };
}
