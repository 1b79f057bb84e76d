/** Worker thread: takes tasks one at a time, answers each with its result or with the reason it failed. */
import { parentPort } from "node:worker_threads";
import { runTask, type Task } from "./task.ts";

parentPort?.on("message", (task: Task) => {
  try {
    parentPort?.postMessage({ result: runTask(task) });
  } catch (error) {
    parentPort?.postMessage({ failure: error instanceof Error ? error.message : String(error) });
  }
});
