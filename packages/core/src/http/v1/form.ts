// multipart/form-data (RFC 7578), of which v1 takes one file: as it comes, never held in memory or on disk here.
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fault } from "@aether/contract";
import { Busboy, type BusboyInstance } from "@fastify/busboy";

/** The bytes of the first file. Throws INVALID_ARGUMENT where there is none, and where the body ends before its last boundary. */
export async function* firstFile(body: Readable, contentType: string): AsyncGenerator<Uint8Array> {
  const parser = formOf(contentType);
  const file = Promise.withResolvers<Readable>();
  parser.once("file", (_name: string, stream: Readable) => file.resolve(stream));
  const broken = (cause: unknown) =>
    fault("INVALID_ARGUMENT", `the form is not whole: ${cause instanceof Error ? cause.message : "it broke off"}`, { cause });
  const whole = pipeline(body, parser).then(
    () => file.reject(fault("INVALID_ARGUMENT", "there is no file in the form", { field: "file" })),
    (cause: unknown) => {
      const problem = broken(cause);
      file.reject(problem);
      throw problem;
    },
  );
  whole.catch(() => undefined); // it is awaited below, unless the file itself has failed before
  file.promise.catch(() => undefined);
  const stream = await file.promise;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) yield new Uint8Array(chunk);
  } catch (caught) {
    throw broken(caught);
  }
  await whole;
}

function formOf(contentType: string): BusboyInstance {
  try {
    return new Busboy({
      headers: { "content-type": contentType },
      limits: { files: 1, fields: 20, fieldSize: 4096, parts: 25, headerPairs: 50 },
    });
  } catch (cause) {
    throw fault("UNSUPPORTED_MEDIA_TYPE", "the body must be multipart/form-data with a boundary", { field: "Content-Type", cause });
  }
}
