// The order of a run: rounds over all cells and methods, so that what changes on the machine in an hour falls on all of them, and a run that is broken off has as many
// moves of each cell as of the next. Pure.

export const roundCount = (mostWanted: number, each: number): number => Math.ceil(mostWanted / each);

/** How many moves there shall be when this round (the first is 0) is over: methods with few of them have them in as many rounds as possible. */
export const goalAfter = (round: number, rounds: number, wanted: number): number => Math.ceil((wanted * (round + 1)) / rounds);
