import { fault } from "@aether/contract";
import { describe, expect, it } from "vitest";
import { errorBody } from "./error-body.ts";

describe("errorBody", () => {
  it.each([
    ["spot_price_history", "spot_price_history must be a list", "spotPriceHistory", "spotPriceHistory must be a list"],
    ["page.page_size", "page.page_size is 1 to 1000", "page.pageSize", "page.pageSize is 1 to 1000"],
    ["policy.rest_seconds", "rest_seconds is 0 to 9", "policy.restSeconds", "restSeconds is 0 to 9"],
    ["node_ids[1]", 'there is no node "my_node_ids"', "nodeIds[1]", 'there is no node "my_node_ids"'],
    [
      "spot_price_history",
      "cannot decode field aether.v2.AnalyzeRequest.spot_price_history from JSON",
      "spotPriceHistory",
      "cannot decode field aether.v2.AnalyzeRequest.spotPriceHistory from JSON",
    ],
    ["Idempotency-Key", "Idempotency-Key is too long", "Idempotency-Key", "Idempotency-Key is too long"],
  ])("spells %s as the sender of JSON does", (field, message, json, said) => {
    expect(errorBody(fault("INVALID_ARGUMENT", message, { field }), "t").error).toMatchObject({ field: json, message: said });
  });
});
