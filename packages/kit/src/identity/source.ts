// An identity that rotates: whoever opens connections asks for the newest material, and is told when it changes.

/** An X.509-SVID with its key and the bundle that peers are checked against; all PEM. */
export interface IdentityMaterial {
  readonly spiffeId: string;
  readonly certificateChainPem: string;
  readonly privateKeyPem: string;
  readonly trustBundlePem: string;
  readonly expiresAtMs: number;
}

export interface IdentitySource {
  current(): IdentityMaterial;
  /** Called after each rotation; the answer unsubscribes. */
  onRotate(listener: (material: IdentityMaterial) => void): () => void;
}
