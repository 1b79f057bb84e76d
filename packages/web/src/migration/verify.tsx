// The receipt is checked here: signatures of both nodes, roots over what left and arrived, and that the receipt says what was signed.
import { receiptText, verifyReceipt } from "@aether/contract/receipt";
import { api } from "../api/clients.ts";
import { Proof } from "../ui/proof.tsx";
import { saveFile } from "../ui/save-file.ts";

export default function VerifyReceipt({ id }: { id: string }) {
  const read = async () => {
    const { receipt, trustBundlePem } = await api.migrations.getReceipt({ id });
    if (receipt === undefined) throw new Error("there is no receipt");
    return { receipt, trustBundlePem };
  };
  return (
    <div className="border-t border-line">
      <Proof
        verify={async () => {
          const { receipt, trustBundlePem } = await read();
          return verifyReceipt(receipt, trustBundlePem, crypto.subtle);
        }}
        downloads={[{ title: "Download", save: async () => saveFile(`receipt-${id}.json`, receiptText((await read()).receipt)) }]}
        command={`aether receipt ${id} --verify`}
        keptCommand="aether receipt --verify FILE --trust BUNDLE"
      />
    </div>
  );
}
