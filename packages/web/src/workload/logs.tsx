// The output of a workload, followed. Text stays text: control characters are taken out, nothing in it is ever markup.
import { useEffect, useRef, useState } from "react";
import { api } from "../api/clients.ts";
import { problemOf } from "../api/problem.ts";
import { useMay } from "../app/caller.tsx";
import { Panel } from "../ui/panel.tsx";

const keptCharacters = 400_000;

export function Logs({ name }: { name: string }) {
  const may = useMay("operator");
  if (!may) {
    return (
      <Panel title="Logs">
        <p className="text-soft">The output of a workload may hold secrets: it is shown to operators and admins.</p>
      </Panel>
    );
  }
  return <Followed name={name} />;
}

function Followed({ name }: { name: string }) {
  const [text, setText] = useState("");
  const [problem, setProblem] = useState<string>();
  const [isFollowing, setFollowing] = useState(true);
  const place = useRef<HTMLPreElement>(null);
  useEffect(() => {
    const ending = new AbortController();
    const decoder = new TextDecoder();
    void (async () => {
      try {
        for await (const { chunk } of api.workloads.readLogs(
          { name, follow: true, tailLines: 500 },
          { signal: ending.signal, timeoutMs: 0 },
        )) {
          const more = clean(decoder.decode(chunk, { stream: true }));
          setText((before) => (before + more).slice(-keptCharacters));
        }
      } catch (caught) {
        if (!ending.signal.aborted) setProblem(problemOf(caught).message);
      }
    })();
    return () => ending.abort();
  }, [name]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: scrolls when text has come
  useEffect(() => {
    if (isFollowing && place.current !== null) place.current.scrollTop = place.current.scrollHeight;
  }, [text, isFollowing]);
  return (
    <Panel
      title="Logs"
      aside={
        <label className="flex min-h-6 items-center gap-2">
          <input type="checkbox" checked={isFollowing} onChange={(event) => setFollowing(event.target.checked)} /> follow
        </label>
      }
      isFlush
    >
      {problem !== undefined && <p className="px-4 py-2 text-bad">{problem}</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
      <pre ref={place} tabIndex={0} className="h-[60vh] overflow-auto bg-ground px-4 py-3 font-mono break-all whitespace-pre-wrap">
        {text || (problem === undefined ? "Nothing was written yet." : "")}
      </pre>
    </Panel>
  );
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controls = /\u001b\[[0-9;?]*[ -/]*[@-~]|[\u0000-\u0008\u000b-\u001f\u007f]/g;
const clean = (text: string): string => text.replace(controls, "");
