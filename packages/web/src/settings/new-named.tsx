// A name and a role make an account or a token; the secret that comes of it is shown once.
import { Role } from "@aether/contract/gen/aether/v2/options_pb";
import { type ReactNode, useState } from "react";
import { problemOf } from "../api/problem.ts";
import { useAct } from "../app/act.ts";
import { words } from "../format/units.ts";
import { Button } from "../ui/button.tsx";
import { Command } from "../ui/command.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { SelectField, TextField } from "../ui/fields.tsx";
import { Form } from "../ui/form.tsx";
import { Panel } from "../ui/panel.tsx";

export interface Made {
  readonly name: string;
  /** Is shown now and never again. */
  readonly secret: string;
}

interface NewNamedProps {
  readonly title: string;
  readonly roles: readonly Role[];
  readonly nameNote: string;
  readonly roleNote: (role: Role) => string;
  readonly button: string;
  /** First word of the queries that are old then. */
  readonly touches: string;
  readonly make: (name: string, role: Role) => Promise<Made>;
  readonly onMade: (made: Made) => void;
}

export function NewNamed({ title, roles, nameNote, roleNote, button, touches, make, onMade }: NewNamedProps) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>(roles[0] ?? Role.VIEWER);
  const act = useAct(() => make(name.trim(), role), {
    touches: [touches],
    onDone: (made) => {
      setName("");
      onMade(made);
    },
  });
  const problem = act.error === null ? undefined : problemOf(act.error);
  return (
    <Panel title={title}>
      <Form onSubmit={() => act.mutate(undefined)}>
        <TextField
          label="Name"
          value={name}
          autoComplete="off"
          onChange={(event) => setName(event.target.value)}
          problem={problem?.field === "name" ? problem.message : undefined}
          note={nameNote}
          required
        />
        <SelectField label="Role" value={role} onChange={(event) => setRole(Number(event.target.value))} note={roleNote(role)}>
          {roles.map((each) => (
            <option key={each} value={each}>
              {words(Role[each])}
            </option>
          ))}
        </SelectField>
        <Button tone="primary" type="submit" isBusy={act.isPending}>
          {button}
        </Button>
      </Form>
    </Panel>
  );
}

export function ShownOnce({
  title,
  secret,
  children,
  onClose,
}: {
  title: string;
  secret: string;
  children: ReactNode;
  onClose: () => void;
}) {
  return (
    <Dialog title={title} onClose={onClose}>
      <p className="mb-3">{children}</p>
      <Command text={secret} />
      <div className="mt-4 text-right">
        <Button onClick={onClose}>Done</Button>
      </div>
    </Dialog>
  );
}
