import { readFileSync } from "node:fs";

/** Seconds that all processors together were busy since boot, whatever was running: only differences on an idle machine say something. */
export function busySeconds(): number {
  const line = readFileSync("/proc/stat", "utf8").split("\n", 1)[0] ?? "";
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / 100;
}
