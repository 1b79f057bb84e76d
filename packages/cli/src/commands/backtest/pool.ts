/** Spreads tasks over worker threads and hands results back in the order of the tasks, whatever order they finish in. */
import { Worker } from "node:worker_threads";
import { runTask, type Task, type TaskResult } from "./task.ts";

/** Runs all tasks on `threads` threads (1 = this one). Rejects with the first failure; `onDone` is told how many have finished. */
export async function runTasks(
  tasks: readonly Task[],
  threads: number,
  onDone: (finished: number) => void,
  signal: AbortSignal,
): Promise<TaskResult[]> {
  const results: TaskResult[] = new Array(tasks.length);
  let next = 0;
  let finished = 0;
  if (threads <= 1 || tasks.length <= 1) {
    for (const [i, task] of tasks.entries()) {
      signal.throwIfAborted();
      results[i] = runTask(task);
      onDone(++finished);
      // Lets an interrupt in between two tasks.
      await new Promise((done) => setImmediate(done));
    }
    return results;
  }
  // The file beside this one, as it is named here: .ts from source, .js when built.
  const script = new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js", import.meta.url);
  const workers = Array.from({ length: Math.min(threads, tasks.length) }, () => new Worker(script));
  try {
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => reject(signal.reason);
      if (signal.aborted) return stop();
      signal.addEventListener("abort", stop, { once: true });
      for (const worker of workers) {
        let mine = -1;
        const feed = (): void => {
          mine = next++;
          const task = tasks[mine];
          if (task !== undefined) worker.postMessage(task);
        };
        worker.on("error", reject);
        worker.on("message", (answer: { result?: TaskResult; failure?: string }) => {
          if (answer.result === undefined) return reject(new Error(answer.failure ?? "a worker gave no result"));
          results[mine] = answer.result;
          onDone(++finished);
          if (finished === tasks.length) resolve();
          else feed();
        });
        feed();
      }
    });
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  return results;
}
