// Which features of the CPU a running workload depends on. Not the union of the source's flags: that refuses moves that work (a missing
// "erms" only makes copying slower), and not none: a library that chose AVX-512 code when it started dies of SIGILL on a CPU without it.
//
// The rule: user code depends on the features by which libraries choose code at run time (below), where the source's CPU has them, and where such a
// library, or a program that may hold code of its own for them, is mapped. Features that only the kernel uses, and hints about speed, never count.
// AVX-512 counts only where it was used: the kernel keeps, for each thread, when its state last was (Documentation/arch/x86, arch_status).

/** By CPUID: what glibc, OpenSSL, JVMs, Go, V8 and BLAS libraries dispatch on. Names as in /proc/cpuinfo. */
const dispatched = new Set(
  (
    "sse3 pni ssse3 sse4_1 sse4_2 sse4a popcnt abm movbe aes pclmulqdq f16c fma fma4 xop avx avx2 bmi1 bmi2 adx rdrand rdseed sha_ni gfni vaes vpclmulqdq cx16 " +
    "rtm avx_vnni avx_ifma amx_tile amx_int8 amx_bf16 amx_fp16 rdpid waitpkg serialize movdiri movdir64b " +
    // arm64 hwcaps
    "asimd crc32 atomics sha1 sha2 sha3 sha512 pmull fphp asimdhp asimddp sve sve2 lrcpc ilrcpc dcpop flagm bf16 i8mm sm3 sm4 paca pacg bti mte"
  ).split(" "),
);

const isAvx512 = (feature: string) => feature.startsWith("avx512");

/** Shared objects whose code depends on the CPU that they were loaded on. */
const dispatching =
  /\/(ld-linux[^/]*|ld-[\d.]+|libc|libm|libmvec|libcrypto|libssl|libgcrypt|libnettle|libstdc\+\+|libjvm|libv8[^/]*|libnode|libopenblas[^/]*|libmkl[^/]*|libblas|libz|libzstd|liblz4|libcrc32c|librocksdb|libLLVM[^/]*|libdnnl|libtorch[^/]*|libonnxruntime[^/]*|libpcre2?[^/]*|libgo|libwolfssl)([-.][^/]*)?$/;
/** musl chooses nothing by CPUID. */
const plain = /\/ld-musl-[^/]*$/;

export interface MappedCode {
  /** Paths of executable file mappings of one process, as in /proc/PID/maps. */
  readonly paths: readonly string[];
  /** The main program is linked statically (no interpreter is mapped): what it holds is not known. */
  readonly isStatic: boolean;
  /** Memory that is executable and belongs to no file: a compiler at run time. */
  readonly hasGeneratedCode: boolean;
}

/** Parses /proc/PID/maps. */
export function mappedCode(maps: string): MappedCode {
  const paths = new Set<string>();
  let hasGeneratedCode = false;
  for (const line of maps.split("\n")) {
    const match = /^\S+ (\S{4}) \S+ \S+ (\d+)\s*(.*)$/.exec(line);
    if (match === null || match[1]?.[2] !== "x") continue;
    const path = match[3] ?? "";
    if (path.startsWith("/")) paths.add(path.replace(/ \(deleted\)$/, ""));
    else if (path === "" || path.startsWith("[anon:")) hasGeneratedCode = true;
  }
  const list = [...paths];
  return { paths: list, isStatic: !list.some((path) => /\/ld-[^/]*$/.test(path) || /\/ld-linux/.test(path)), hasGeneratedCode };
}

/** The features that must be there wherever these processes go on. `usedAvx512`: a thread of them has used it since it began. */
export function neededFeatures(cpuFeatures: readonly string[], processes: readonly MappedCode[], usedAvx512: boolean): string[] {
  const isDispatching = processes.some(
    ({ paths, isStatic, hasGeneratedCode }) =>
      hasGeneratedCode || isStatic || paths.some((path) => dispatching.test(path) && !plain.test(path)),
  );
  if (!isDispatching) return [];
  return cpuFeatures.filter((feature) => dispatched.has(feature) || (usedAvx512 && isAvx512(feature))).sort();
}

/** Components of the extended state that the kernel has enabled (it hides the flags of those that it has not), as names. */
export function xsaveComponents(cpuFeatures: readonly string[]): string[] {
  const has = (feature: string) => cpuFeatures.includes(feature);
  if (!has("xsave")) return has("fxsr") ? ["x87", "sse"] : [];
  return [
    "x87",
    "sse",
    ...(has("avx") ? ["avx"] : []),
    ...(has("avx512f") ? ["avx512"] : []),
    ...(has("ospke") ? ["pkru"] : []),
    ...(has("amx_tile") ? ["amx"] : []),
    ...(has("user_shstk") ? ["shadow-stack"] : []),
  ];
}

/** Of those, the ones that the threads may hold something in. AMX must be asked for by a process, so it counts only with its features. */
export function neededComponents(cpuFeatures: readonly string[], needed: readonly string[], usedAvx512: boolean): string[] {
  return xsaveComponents(cpuFeatures).filter(
    (component) =>
      component === "x87" ||
      component === "sse" ||
      (component === "avx" && needed.includes("avx")) ||
      (component === "avx512" && usedAvx512) ||
      component === "shadow-stack",
  );
}
