export { criuAbilities } from "./checkpoint/criu.ts";
export type { Container, ContainerRuntime } from "./containers/discover.ts";
export { type ContainerVerdict, containerVerdicts } from "./containers/verdict.ts";
export { createEngine } from "./create-engine.ts";
export * from "./engine.ts";
export { probeMachineKernel } from "./kernel/probe.ts";
export { helperTls } from "./memory/hand-over.ts";
export { holdMethods } from "./network/hold.ts";
export { hostFacts, parseCpuFeatures } from "./preflight/host-facts.ts";
