// Something signed is checked here, by this browser's own cryptography, with the same code as the `aether` command; and given away to be kept.
import type { ReceiptCheck } from "@aether/contract/receipt";
import { useMutation } from "@tanstack/react-query";
import { plural } from "../format/units.ts";
import { Badge } from "./badge.tsx";
import { Button } from "./button.tsx";
import { Command } from "./command.tsx";
import { ProblemNote } from "./problem.tsx";

interface Props {
  readonly verify: () => Promise<readonly ReceiptCheck[]>;
  readonly downloads: readonly { readonly title: string; readonly save: () => Promise<void> }[];
  /** The same in a terminal, where this browser cannot. */
  readonly command: string;
  /** How to check it against what one has kept. */
  readonly keptCommand: string;
}

export function Proof({ verify, downloads, command, keptCommand }: Props) {
  const check = useMutation({ mutationFn: verify });
  const save = useMutation({ mutationFn: (work: () => Promise<void>) => work() });
  // Browsers keep their cryptography from pages that came without TLS from another machine.
  const canVerify = globalThis.isSecureContext;
  return (
    <div className="grid gap-2 px-4 py-3">
      <div className="flex flex-wrap items-center gap-3">
        <Button onClick={() => check.mutate()} isBusy={check.isPending} disabled={!canVerify}>
          Verify in this browser
        </Button>
        {downloads.map((each) => (
          <Button key={each.title} tone="quiet" onClick={() => save.mutate(each.save)} isBusy={save.isPending}>
            {each.title}
          </Button>
        ))}
        {check.data !== undefined && <Verdict checks={check.data} />}
        {!canVerify && <span className="text-soft">This page came without TLS, and browsers verify nothing there. In a terminal:</span>}
        {!canVerify && <Command text={command} />}
      </div>
      {check.error !== null && <ProblemNote error={check.error} />}
      {save.error !== null && <ProblemNote error={save.error} />}
      {check.data !== undefined && (
        <>
          <ul className="grid gap-1">
            {check.data.map(({ name, isPassed, detail }) => (
              <li key={name} className="flex flex-wrap items-baseline gap-2">
                <Badge tone={isPassed ? "good" : "bad"}>{isPassed ? "holds" : "fails"}</Badge>
                <span>{name}</span>
                <span className="min-w-0 wrap-anywhere text-soft">{detail}</span>
              </li>
            ))}
          </ul>
          <p className="text-xs text-soft">
            Checked against the trust bundle that this control plane gives. Against one that you keep yourself: {keptCommand}.
          </p>
        </>
      )}
    </div>
  );
}

function Verdict({ checks }: { checks: readonly ReceiptCheck[] }) {
  const failed = checks.filter(({ isPassed }) => !isPassed).length;
  return failed === 0 ? (
    <Badge tone="good">all {checks.length} checks hold</Badge>
  ) : (
    <Badge tone="bad">{plural(failed, "check fails", "checks fail")}</Badge>
  );
}
