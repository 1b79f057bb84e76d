import { expect, it } from "vitest";
import { goalAfter, roundCount } from "./rounds.ts";

const goals = (wanted: number, rounds: number) => Array.from({ length: rounds }, (_, round) => goalAfter(round, rounds, wanted));

it("fifteen moves, three a round, beside three of a baseline: all have their share in each round, and all of it at the end", () => {
  const rounds = roundCount(15, 3);
  expect(goals(15, rounds)).toEqual([3, 6, 9, 12, 15]);
  expect(goals(3, rounds)).toEqual([1, 2, 2, 3, 3]);
  expect(goals(0, rounds)).toEqual([0, 0, 0, 0, 0]);
});

it("a number that the rounds do not divide is reached and not passed", () => {
  expect(goals(7, roundCount(7, 3))).toEqual([3, 5, 7]);
});
