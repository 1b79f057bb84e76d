// A bundle for whoever is asked for help: what it would hold, built with progress, and looked into here before it goes to anybody.
import { useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { opsApi, opsQueries } from "../api/ops.ts";
import { useNotices } from "../app/notices.tsx";
import { bytes, count, plural } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { saveFile } from "../ui/save-file.ts";
import { Cell, Row, Table } from "../ui/table.tsx";
import { readTar, type TarFile } from "./tar.ts";

interface Progress {
  readonly part: string;
  readonly done: number;
  readonly total: number;
  readonly bytes: number;
}

interface Built {
  readonly name: string;
  readonly blob: Blob;
  readonly files: readonly TarFile[];
}

/** Larger bundles (with snapshots) are saved without a look into them here. */
const mostToLookInto = 200 * 1024 * 1024;

export default function Diagnostics() {
  const [withSnapshots, setWithSnapshots] = useState(false);
  const { data: manifest, error, refetch } = useQuery(opsQueries.manifest(withSnapshots));
  const { progress, built, build, stop } = useBundle(withSnapshots);
  return (
    <div className="grid gap-4">
      {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
      {manifest !== undefined && (
        <Panel
          title="What a bundle holds"
          aside={<span className="nums text-xs">about {bytes(Number(manifest.estimatedBytes))} before compression</span>}
          isFlush
        >
          <div className="grid gap-3 px-4 py-3">
            {manifest.leftOut.length > 0 && <p className="text-soft">Never in it: {manifest.leftOut.join(", ")}.</p>}
            <label className="flex min-h-6 items-center gap-2">
              <input type="checkbox" checked={withSnapshots} onChange={(event) => setWithSnapshots(event.target.checked)} />
              The newest snapshots too. They hold the memory of workloads, encrypted with keys that are not in the bundle.
            </label>
            <div className="flex min-h-8 flex-wrap items-center gap-3">
              {progress === undefined ? (
                <Button tone="primary" onClick={build}>
                  Build it
                </Button>
              ) : (
                <Button onClick={stop}>Stop</Button>
              )}
              {progress !== undefined && <Progressing progress={progress} />}
              {progress === undefined && built !== undefined && (
                <Button onClick={() => saveFile(built.name, built.blob)}>Save {bytes(built.blob.size)}</Button>
              )}
            </div>
          </div>
          <div className="border-t border-line">
            <Table label="Parts" head={["file", "what", "entries", "size", ""]}>
              {manifest.parts.map((part) => (
                <Row key={part.name}>
                  <Cell className="font-mono text-xs">{part.name}</Cell>
                  <Cell className="min-w-48">
                    {part.what} {part.note !== "" && <span className="block text-xs text-soft">{part.note}</span>}
                  </Cell>
                  <Cell className="nums">{count(part.count)}</Cell>
                  <Cell className="nums whitespace-nowrap">
                    {part.estimatedBytes === 0n ? <span className="text-soft">—</span> : bytes(Number(part.estimatedBytes))}
                  </Cell>
                  <Cell>{part.isIncluded ? <Badge tone="good">in it</Badge> : <Badge>left out</Badge>}</Cell>
                </Row>
              ))}
            </Table>
          </div>
        </Panel>
      )}
      {progress === undefined && built !== undefined && <Inside built={built} />}
    </div>
  );
}

function Progressing({ progress: { part, done, total, bytes: size } }: { progress: Progress }) {
  return (
    <>
      <progress max={Math.max(1, total)} value={done} aria-label="Parts that are done" className="h-2 w-40 accent-[var(--accent)]" />
      <span className="nums text-soft">
        {total === 0 ? "asked for" : `${done} of ${total} parts`}, {bytes(size)} {part !== "" && `· ${part}`}
      </span>
    </>
  );
}

function useBundle(includeSnapshots: boolean) {
  const notices = useNotices();
  const [progress, setProgress] = useState<Progress>();
  const [built, setBuilt] = useState<Built>();
  const running = useRef<AbortController>(undefined);
  const build = async () => {
    const ending = new AbortController();
    running.current = ending;
    setBuilt(undefined);
    setProgress({ part: "", done: 0, total: 0, bytes: 0 });
    try {
      const chunks: Uint8Array<ArrayBuffer>[] = [];
      let size = 0;
      // As long as it takes: it is stopped by hand.
      for await (const told of opsApi.downloadDiagnostics({ includeSnapshots }, { signal: ending.signal, timeoutMs: 0 })) {
        chunks.push(new Uint8Array(told.data));
        size += told.data.length;
        setProgress({ part: told.part, done: told.partsDone, total: told.partsTotal, bytes: size });
      }
      const blob = new Blob(chunks, { type: "application/gzip" });
      const files = size > mostToLookInto ? [] : readTar(await unzipped(blob));
      setBuilt({ name: `aether-diagnostics-${new Date().toISOString().slice(0, 16).replaceAll(":", "")}.tar.gz`, blob, files });
    } catch (caught) {
      if (!ending.signal.aborted) notices.refuse(caught);
    } finally {
      setProgress(undefined);
    }
  };
  return { progress, built, build: () => void build(), stop: () => running.current?.abort() };
}

async function unzipped(blob: Blob): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(blob.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

/** The bundle as it is, not as it was announced. */
function Inside({ built: { files } }: { built: Built }) {
  const [open, setOpen] = useState<string>();
  if (files.length === 0) return <p className="text-soft">It is too large to be looked into here: save it, and look with tar -tzf.</p>;
  const file = files.find(({ name }) => name === open);
  return (
    <Panel
      title={`Inside: ${plural(files.length, "file")}`}
      aside={<span className="text-xs">it is still only in this browser</span>}
      isFlush
    >
      <div className="grid lg:grid-cols-[20rem_minmax(0,1fr)]">
        <ul className="max-h-96 overflow-y-auto border-line p-2 lg:border-r">
          {files.map(({ name, data }) => (
            <li key={name}>
              <button
                type="button"
                aria-pressed={name === open}
                onClick={() => setOpen(name)}
                className={`flex min-h-8 w-full items-center gap-2 rounded-md px-2 text-left ${name === open ? "bg-raised" : "hover:bg-raised/50"}`}
              >
                <span className="min-w-0 font-mono text-xs break-all">{name}</span>
                <span className="nums ml-auto text-xs whitespace-nowrap text-soft">{bytes(data.length)}</span>
              </button>
            </li>
          ))}
        </ul>
        <Content file={file} />
      </div>
    </Panel>
  );
}

const shownBytes = 100_000;

function Content({ file }: { file: TarFile | undefined }) {
  if (file === undefined) return <p className="p-4 text-soft">Choose a file to read it.</p>;
  const head = file.data.subarray(0, shownBytes);
  const isText = !head.subarray(0, 4_096).includes(0);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard (WCAG 2.1.1)
    <section tabIndex={0} aria-label={file.name} className="max-h-96 overflow-auto p-4">
      {isText ? (
        <pre className="font-mono whitespace-pre-wrap break-words">{new TextDecoder().decode(head)}</pre>
      ) : (
        <p className="text-soft">It is no text.</p>
      )}
      {file.data.length > shownBytes && <p className="text-soft">And {bytes(file.data.length - shownBytes)} more.</p>}
    </section>
  );
}
