// The receipt is checked here, by this browser's own cryptography: signatures of both nodes, roots over what left and arrived, and that the
// receipt says what was signed. The same code as `aether receipt --verify`.
import { type ReceiptCheck, receiptText, verifyReceipt } from "@aether/contract/receipt";
import { useMutation } from "@tanstack/react-query";
import { api } from "../api/clients.ts";
import { plural } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Command } from "../ui/command.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { saveFile } from "../ui/save-file.ts";

export default function VerifyReceipt({ id }: { id: string }) {
  const verify = useMutation({
    mutationFn: async () => {
      const { receipt, trustBundlePem } = await api.migrations.getReceipt({ id });
      if (receipt === undefined) throw new Error("there is no receipt");
      return verifyReceipt(receipt, trustBundlePem, crypto.subtle);
    },
  });
  const save = useMutation({
    mutationFn: async () => {
      const { receipt } = await api.migrations.getReceipt({ id });
      if (receipt !== undefined) saveFile(`receipt-${id}.json`, receiptText(receipt));
    },
  });
  // Browsers keep their cryptography from pages that came without TLS from another machine.
  const canVerify = globalThis.isSecureContext;
  return (
    <div className="grid gap-2 border-t border-line px-4 py-3">
      <div className="flex flex-wrap items-center gap-3">
        <Button onClick={() => verify.mutate()} isBusy={verify.isPending} disabled={!canVerify}>
          Verify in this browser
        </Button>
        <Button tone="quiet" onClick={() => save.mutate()} isBusy={save.isPending}>
          Download
        </Button>
        {verify.data !== undefined && <Verdict checks={verify.data} />}
        {!canVerify && <span className="text-soft">This page came without TLS, and browsers verify nothing there. In a terminal:</span>}
        {!canVerify && <Command text={`aether receipt ${id} --verify`} />}
      </div>
      {verify.error !== null && <ProblemNote error={verify.error} />}
      {verify.data !== undefined && (
        <>
          <ul className="grid gap-1">
            {verify.data.map((check) => (
              <li key={check.name} className="flex flex-wrap items-baseline gap-2">
                <Badge tone={check.isPassed ? "good" : "bad"}>{check.isPassed ? "holds" : "fails"}</Badge>
                <span>{check.name}</span>
                <span className="min-w-0 wrap-anywhere text-soft">{check.detail}</span>
              </li>
            ))}
          </ul>
          <p className="text-xs text-soft">
            Checked against the trust bundle that this control plane gives. Against one that you keep yourself: aether receipt --verify FILE
            --trust BUNDLE.
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
