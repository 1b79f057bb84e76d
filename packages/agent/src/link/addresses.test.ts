import { expect, it } from "vitest";
import { createCoreAddresses } from "./addresses.ts";

it("goes round until one answers, and stays with that one until it fails", () => {
  const addresses = createCoreAddresses("a:1,b:2,c:3");
  expect([addresses.next(), addresses.next()]).toEqual(["a:1", "b:2"]);
  addresses.keep();
  expect([addresses.next(), addresses.next(), addresses.next()]).toEqual(["b:2", "c:3", "a:1"]);
  const one = createCoreAddresses("a:1");
  expect([one.next(), one.next()]).toEqual(["a:1", "a:1"]);
});
