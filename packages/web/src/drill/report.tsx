// The report of a drill that has ended: signed by the control plane, checked here, and given away in a form for programs and two for people.

import { GetDrillReportResponseSchema } from "@aether/contract/gen/aether/v2/drill_pb";
import { verifyDrillReport } from "@aether/contract/receipt";
import { create, toJsonString } from "@bufbuild/protobuf";
import { api } from "../api/clients.ts";
import { Panel } from "../ui/panel.tsx";
import { Proof } from "../ui/proof.tsx";
import { saveFile } from "../ui/save-file.ts";

export default function DrillReport({ id }: { id: string }) {
  const read = () => api.drills.getDrillReport({ id });
  return (
    <Panel title="Signed report" isFlush>
      <Proof
        verify={async () => {
          const answer = await read();
          return (await verifyDrillReport(answer, answer.trustBundlePem, crypto.subtle)).checks;
        }}
        downloads={[
          {
            title: "Download, signed",
            async save() {
              const { report, statement } = await read();
              const kept = create(GetDrillReportResponseSchema, { ...(report && { report }), ...(statement && { statement }) });
              saveFile(`${id}.json`, toJsonString(GetDrillReportResponseSchema, kept, { prettySpaces: 2 }));
            },
          },
          { title: "as a page", save: async () => saveFile(`${id}.html`, (await read()).html) },
          { title: "as Markdown", save: async () => saveFile(`${id}.md`, (await read()).markdown) },
        ]}
        command={`aether drill report ${id} --verify`}
        keptCommand={`aether drill report --verify ${id}.json --trust BUNDLE`}
      />
    </Panel>
  );
}
