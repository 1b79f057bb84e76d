export * from "./faults.ts";
export * from "./fitness.ts";
export { Role, required_role as requiredRole } from "./gen/aether/v2/options_pb.ts";
export * from "./ids.ts";
