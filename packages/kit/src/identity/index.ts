export * from "./authority.ts";
export * from "./join-token.ts";
export * from "./pin.ts";
export * from "./request.ts";
export * from "./rotate.ts";
export * from "./source.ts";
export * from "./spiffe.ts";
export * from "./tls.ts";
