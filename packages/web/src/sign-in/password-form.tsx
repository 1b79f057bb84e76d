import type { Caller } from "@aether/contract/gen/aether/v2/account_pb";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api/clients.ts";
import { problemOf } from "../api/problem.ts";
import { Button, buttonLook, plainLook } from "../ui/button.tsx";
import { Command } from "../ui/command.tsx";
import { TextField } from "../ui/fields.tsx";
import { Form } from "../ui/form.tsx";
import { SignInFrame } from "./frame.tsx";

export default function PasswordForm({ onEntered }: { onEntered: (caller: Caller | undefined) => void }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const methods = useQuery({ queryKey: ["sign-in"], queryFn: ({ signal }) => api.signIn.listSignInMethods({}, { signal }) });
  const signIn = useMutation({
    mutationFn: () => api.signIn.signIn({ name: name.trim(), password }),
    onSuccess: ({ caller }) => onEntered(caller),
    onError: () => setPassword(""),
  });
  const refused = refusals[new URLSearchParams(location.search).get("refused") ?? ""];
  const problem = signIn.error === null ? undefined : problemOf(signIn.error);
  if (methods.isPending) {
    return (
      <SignInFrame title="">
        <div className="h-64" />
      </SignInFrame>
    );
  }
  if (methods.data?.hasAccounts === false && methods.data.oidcName === "") return <NobodyYet />;
  return (
    <SignInFrame title="Sign in">
      {refused !== undefined && (
        <p role="alert" className="rounded-md bg-bad-ground px-3 py-2 text-bad">
          {refused}
        </p>
      )}
      <Form onSubmit={() => signIn.mutate()}>
        <TextField label="Name" autoComplete="username" value={name} onChange={(event) => setName(event.target.value)} required />
        <TextField
          label="Password"
          type="password"
          autoComplete="current-password"
          value={password}
          onChange={(event) => setPassword(event.target.value)}
          required
        />
        <p role="alert" className="min-h-10 text-bad">
          {problem !== undefined && `${problem.message}. ${problem.hint}`}
        </p>
        <Button tone="primary" type="submit" isBusy={signIn.isPending}>
          Sign in
        </Button>
      </Form>
      {methods.data !== undefined && methods.data.oidcName !== "" && (
        <a href={`/auth/oidc/start?back=${encodeURIComponent(wantedAddress())}`} className={`${buttonLook} ${plainLook}`}>
          Sign in with {methods.data.oidcName}
        </a>
      )}
      <p className="text-xs text-soft">On the machine of the control plane, a one-time link signs you in:</p>
      <Command text="aether account link NAME" />
    </SignInFrame>
  );
}

/** Why the provider's way in ended here, as the redirect back says. */
const refusals: Readonly<Record<string, string>> = {
  PERMISSION_DENIED: "Your account at the provider has no role here. Ask an admin which group to be in.",
  SIGN_IN_REFUSED: "The provider's answer was not accepted. Try once more.",
  UNAVAILABLE: "The sign-in provider does not answer. Try again, or use a password or a link.",
};

function NobodyYet() {
  return (
    <SignInFrame title="Nobody has an account yet">
      <p>
        The control plane wrote a one-time code at its start, to the file <code className="font-mono">first-admin.link</code> in its data
        directory. It makes the first admin.
      </p>
      <p className="text-soft">Local cloud: this prints a link that signs you in.</p>
      <Command text="aether up" />
    </SignInFrame>
  );
}

/** Where the viewer was going: the address without what a refusal added to it. */
function wantedAddress(): string {
  const search = new URLSearchParams(location.search);
  search.delete("refused");
  const rest = search.toString();
  return location.pathname + (rest === "" ? "" : `?${rest}`);
}
