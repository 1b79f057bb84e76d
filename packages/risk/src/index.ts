export * from "./backtest/job.ts";
export { omniscient } from "./backtest/omniscient.ts";
export * from "./backtest/reference-policies.ts";
export { simulate } from "./backtest/simulate.ts";
export * from "./backtest/table.ts";
export * from "./backtest/trace.ts";
