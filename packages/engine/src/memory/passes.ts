/** How far something has come, in passes over memory. */
export interface Passes {
  /** This pass is reached, and all before it. */
  reach(pass: number): void;
  /** Resolves when this pass, or a later one, is reached. */
  reached(pass: number): Promise<void>;
}

export function createPasses(): Passes {
  let last = -1;
  const awaited: { readonly pass: number; resolve(): void }[] = [];
  return {
    reach(pass) {
      last = pass;
      for (const one of awaited.splice(0))
        if (one.pass <= last) one.resolve();
        else awaited.push(one);
    },
    reached: (pass) => new Promise<void>((resolve) => (pass <= last ? resolve() : void awaited.push({ pass, resolve }))),
  };
}
