// What is in a tar (POSIX.1-1988 ustar), for looking into a bundle before it is sent. Pure.

export interface TarFile {
  readonly name: string;
  readonly data: Uint8Array<ArrayBuffer>;
}

const block = 512;

/** Stops at the end mark, or where the archive is cut. */
export function readTar(archive: Uint8Array<ArrayBuffer>): TarFile[] {
  const files: TarFile[] = [];
  const text = (from: number, length: number) => {
    const bytes = archive.subarray(from, from + length);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  };
  for (let at = 0; at + block <= archive.length && archive[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12).trim(), 8);
    if (!Number.isFinite(size) || size < 0) break;
    const type = text(at + 156, 1);
    const prefix = text(at + 257, 5) === "ustar" ? text(at + 345, 155) : "";
    const name = prefix === "" ? text(at, 100) : `${prefix}/${text(at, 100)}`;
    if (type === "" || type === "0") files.push({ name, data: archive.subarray(at + block, Math.min(archive.length, at + block + size)) });
    at += block + Math.ceil(size / block) * block;
  }
  return files;
}
