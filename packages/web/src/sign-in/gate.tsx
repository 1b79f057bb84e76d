// Between an unknown browser and the dashboard: a one-time link, a name and a password, or the organisation's own provider. The address stays what
// it was, so that one arrives where one wanted to go.
import type { Caller } from "@aether/contract/gen/aether/v2/account_pb";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, type ReactNode, Suspense, useCallback, useEffect, useState } from "react";
import { api } from "../api/clients.ts";
import { problemOf } from "../api/problem.ts";
import { queries } from "../api/queries.ts";
import { CallerProvider } from "../app/caller.tsx";
import { LiveProvider } from "../live/live.tsx";
import { SignInFrame } from "./frame.tsx";

interface SignInLink {
  readonly kind: "first-admin" | "sign-in";
  readonly code: string;
}

/** Reads the code once and takes it out of the address, so that it is in no history. */
function takeLink(): SignInLink | undefined {
  const kind = location.pathname === "/first-admin" ? "first-admin" : location.pathname === "/sign-in" ? "sign-in" : undefined;
  const code = location.hash.slice(1);
  if (kind === undefined) return undefined;
  history.replaceState(null, "", "/");
  return code === "" ? undefined : { kind, code };
}

// Here and not in a component: React may throw away the state of one that waits for its code, and the address has no code by then.
const givenLink = takeLink();

const FirstAdmin = lazy(() => import("./first-admin.tsx"));
const PasswordForm = lazy(() => import("./password-form.tsx"));

export function SignInGate(props: { children: ReactNode }) {
  return (
    <Suspense fallback={<Waiting isSlow={false} />}>
      <Gate {...props} />
    </Suspense>
  );
}

function Gate({ children }: { children: ReactNode }) {
  const [link, setLink] = useState(givenLink);
  const client = useQueryClient();
  const caller = useQuery({ ...queries.caller(), enabled: link === undefined });
  const enter = useCallback(
    (found: Caller | undefined) => {
      client.setQueryData(queries.caller().queryKey, found);
      setLink(undefined);
    },
    [client],
  );
  if (link?.kind === "first-admin") return <FirstAdmin code={link.code} onEntered={enter} onGiveUp={() => setLink(undefined)} />;
  if (link?.kind === "sign-in") return <Redeem code={link.code} onEntered={enter} onGiveUp={() => setLink(undefined)} />;
  if (caller.isPending) return <Waiting isSlow={caller.failureCount > 1} />;
  if (caller.data === undefined || caller.error !== null) {
    const problem = caller.error === null ? undefined : problemOf(caller.error);
    if (problem?.isSignedOut !== true) return <Waiting isSlow />;
    return <PasswordForm onEntered={enter} />;
  }
  return (
    <CallerProvider value={caller.data}>
      <LiveProvider>{children}</LiveProvider>
    </CallerProvider>
  );
}

function Waiting({ isSlow }: { isSlow: boolean }) {
  return (
    <SignInFrame title={isSlow ? "The control plane does not answer" : ""}>
      {isSlow ? <p className="text-soft">This page tries again by itself. On the machine: </p> : <div className="h-24" />}
      {isSlow && <code className="font-mono">aether doctor</code>}
    </SignInFrame>
  );
}

interface RedeemProps {
  readonly code: string;
  readonly onEntered: (caller: Caller | undefined) => void;
  readonly onGiveUp: () => void;
}

// A link works once: it is tried once for each code, also when React mounts twice.
const tried = new Map<string, Promise<Caller | undefined>>();

function Redeem({ code, onEntered, onGiveUp }: RedeemProps) {
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    const answer = tried.get(code) ?? api.signIn.redeemLink({ code }).then(({ caller }) => caller);
    tried.set(code, answer);
    answer.then(onEntered, (caught: unknown) => setProblem(problemOf(caught).message));
  }, [code, onEntered]);
  if (problem === undefined) return <Waiting isSlow={false} />;
  return (
    <SignInFrame title="This link does not work any more">
      <p role="alert">{problem}</p>
      <p className="text-soft">
        A link signs in one browser, once, and for a short time. `aether up` prints a new one, and so does `aether account link`.
      </p>
      <button type="button" onClick={onGiveUp} className="mt-2 h-8 text-left font-medium text-accent underline">
        Go on without it
      </button>
    </SignInFrame>
  );
}
