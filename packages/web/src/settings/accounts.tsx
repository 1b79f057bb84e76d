import type { Account } from "@aether/contract/gen/aether/v2/account_pb";
import { Role } from "@aether/contract/gen/aether/v2/options_pb";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api/clients.ts";
import { problemOf } from "../api/problem.ts";
import { useAct } from "../app/act.ts";
import { useCaller } from "../app/caller.tsx";
import { words } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Command } from "../ui/command.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { inputLook, SelectField, TextField } from "../ui/fields.tsx";
import { Panel } from "../ui/panel.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { SessionTable } from "./sessions.tsx";

const roles = [Role.VIEWER, Role.OPERATOR, Role.ADMIN] as const;

export function Accounts() {
  const { data: accounts = [] } = useQuery({
    queryKey: ["account"],
    queryFn: async ({ signal }) => (await api.accounts.listAccounts({ page: { pageSize: 1000 } }, { signal })).accounts,
  });
  const { data: sessions = [] } = useQuery({
    queryKey: ["session", "all"],
    queryFn: async ({ signal }) => (await api.accounts.listSessions({ all: true, page: { pageSize: 200 } }, { signal })).sessions,
  });
  const [link, setLink] = useState<{ name: string; url: string }>();
  return (
    <div className="grid items-start gap-4 xl:grid-cols-[minmax(0,1fr)_20rem]">
      <Panel title="Accounts" isFlush>
        <Table label="Accounts" head={["name", "role", "signs in by", "last signed in", ""]}>
          {accounts.map((account) => (
            <AccountRow key={account.name} account={account} onLink={(url) => setLink({ name: account.name, url })} />
          ))}
        </Table>
      </Panel>
      <NewAccount onLink={setLink} />
      <Panel title="Who is signed in" className="xl:col-span-2" isFlush>
        <SessionTable sessions={sessions} withAccount />
      </Panel>
      {link !== undefined && (
        <Dialog title={`A link for ${link.name}`} onClose={() => setLink(undefined)}>
          <p className="mb-3">
            It signs one browser in, once, within the hour. It is shown only here: give it to its owner on a way that you trust.
          </p>
          <Command text={link.url} />
          <div className="mt-4 text-right">
            <Button onClick={() => setLink(undefined)}>Done</Button>
          </div>
        </Dialog>
      )}
    </div>
  );
}

const linkOf = (secret: string) => `${location.origin}/sign-in#${secret}`;

function AccountRow({ account, onLink }: { account: Account; onLink: (url: string) => void }) {
  const { name } = account;
  const isMe = useCaller().account?.name === name;
  const touches = ["account", "session"];
  const update = useAct((change: { role?: Role; isDisabled?: boolean }) => api.accounts.updateAccount({ name, ...change }), { touches });
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
          disabled={isMe || account.issuer !== ""}
          onChange={(event) => update.mutate({ role: Number(event.target.value) })}
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
            <Button tone="quiet" onClick={() => update.mutate({ isDisabled: !account.isDisabled })}>
              {account.isDisabled ? "Enable" : "Disable"}
            </Button>
            <Button tone="quiet" onClick={() => setAsking(true)}>
              Delete
            </Button>
          </>
        )}
        {isAsking && (
          <Dialog title={`Delete the account ${name}?`} onClose={() => setAsking(false)}>
            <p className="text-left whitespace-normal">Its sessions end at once. What it did stays on the audit log under its name.</p>
            <div className="mt-4 flex justify-end gap-2">
              <Button onClick={() => setAsking(false)}>Not now</Button>
              <Button tone="danger" isBusy={remove.isPending} onClick={() => remove.mutate(undefined)}>
                Delete it
              </Button>
            </div>
          </Dialog>
        )}
      </Cell>
    </Row>
  );
}

function NewAccount({ onLink }: { onLink: (link: { name: string; url: string }) => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>(Role.VIEWER);
  const make = useAct(
    async () => {
      const wanted = name.trim();
      await api.accounts.createAccount({ name: wanted, role });
      return { name: wanted, url: linkOf((await api.accounts.createSignInLink({ name: wanted })).secret) };
    },
    {
      touches: ["account"],
      onDone: (link) => {
        setName("");
        onLink(link);
      },
    },
  );
  const problem = make.error === null ? undefined : problemOf(make.error);
  return (
    <Panel title="New account">
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
          note="a-z, 0-9, dot, dash, underscore"
          required
        />
        <SelectField
          label="Role"
          value={role}
          onChange={(event) => setRole(Number(event.target.value))}
          note="A viewer looks; an operator also moves, drills and runs; an admin also manages people and tokens."
        >
          {roles.map((each) => (
            <option key={each} value={each}>
              {words(Role[each])}
            </option>
          ))}
        </SelectField>
        <Button tone="primary" type="submit" isBusy={make.isPending}>
          Make it and its first link
        </Button>
      </form>
    </Panel>
  );
}
