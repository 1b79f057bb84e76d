// What a node says of a move when it signs. The same words on both sides, so that they can be laid side by side; null is "could not be measured".

/** A part of what left or arrived; see EvidenceSection in the contract. */
export interface SectionFact {
  readonly name: string;
  readonly leaves: number;
  readonly root: string;
}

export interface StatementFacts {
  readonly version: 1;
  readonly side: "source" | "target";
  readonly migration: string;
  readonly workload: string;
  /** Of the placement on this side: the target's is the source's plus one. */
  readonly epoch: number;
  readonly node: string;
  /** The node at the other end of the link, as its certificate named it. */
  readonly peer: string;
  readonly mode: string;
  readonly sections: readonly SectionFact[];
  readonly root: string;
  /** What no digest speaks of, in words; empty where everything is covered. */
  readonly notCovered: readonly string[];
  readonly resetsSent: number | null;
  readonly segmentsRetransmitted: number | null;
  /** By this node's clock, ms since 1970. */
  readonly signedAtMs: number;
}

export interface TargetFacts extends StatementFacts {
  readonly side: "target";
  /** From the source's cut to the resume, and the error bound of the comparison of the two clocks. */
  readonly freezeMs: number | null;
  readonly clockErrorMs: number | null;
  /** From the first task's stop to the first task's run, as both kernels saw it. */
  readonly blackoutMs: number | null;
  readonly packetsHeld: number | null;
  readonly packetsReplayed: number | null;
  readonly packetsDropped: number | null;
  readonly holdMethod: string;
}

export interface CoreFacts {
  readonly version: 1;
  readonly side: "core";
  readonly migration: string;
  /** Of the whole receipt but this statement, in canonical form (countersignedText). */
  readonly receiptSha256: string;
  readonly signedAtMs: number;
}

/** One text that stands for all sections: what `root` is the tree over. */
export const sectionLeaf = ({ name, leaves, root }: SectionFact): string => `${name} ${leaves} ${root}`;
