import type { Caller } from "@aether/contract/gen/aether/v2/account_pb";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api/clients.ts";
import { problemOf } from "../api/problem.ts";
import { Button } from "../ui/button.tsx";
import { TextField } from "../ui/fields.tsx";
import { Form } from "../ui/form.tsx";
import { SignInFrame } from "./frame.tsx";

interface Props {
  readonly code: string;
  readonly onEntered: (caller: Caller | undefined) => void;
  readonly onGiveUp: () => void;
}

export default function FirstAdmin({ code, onEntered, onGiveUp }: Props) {
  const [name, setName] = useState("admin");
  const [password, setPassword] = useState("");
  const make = useMutation({
    mutationFn: () => api.signIn.createFirstAdmin({ code, name: name.trim(), password }),
    onSuccess: ({ caller }) => onEntered(caller),
  });
  const problem = make.error === null ? undefined : problemOf(make.error);
  const at = (field: string) => (problem?.field === field ? problem.message : undefined);
  return (
    <SignInFrame title="Make the first account">
      <p className="text-soft">It is an admin. There is no default password: choose one that only you know.</p>
      <Form onSubmit={() => make.mutate()}>
        <TextField
          label="Name"
          autoComplete="username"
          value={name}
          onChange={(event) => setName(event.target.value)}
          problem={at("name")}
          required
        />
        <TextField
          label="Password"
          type="password"
          autoComplete="new-password"
          minLength={12}
          value={password}
          onChange={(event) => setPassword(event.target.value)}
          note="12 characters or more; a few words are good"
          problem={at("password")}
          required
        />
        <p role="alert" className="text-bad">
          {problem !== undefined && problem.field === undefined && `${problem.message}. ${problem.hint}`}
          {problem?.field === "code" && "This link was used or is void: the next start of the control plane makes a new one."}
        </p>
        <Button tone="primary" type="submit" isBusy={make.isPending}>
          Make the account and sign in
        </Button>
        {problem?.field === "code" && (
          <Button tone="quiet" onClick={onGiveUp}>
            Sign in instead
          </Button>
        )}
      </Form>
    </SignInFrame>
  );
}
