// Many samples of one kind into fewer: each number is the mean over the samples that have it, weighted by their spans; a text is the newest.
// What no sample has stays absent.
import { create, type DescField, type DescMessage, type MessageShape, ScalarType } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";

/** What its field holds. */
const longestSpanMs = 2 ** 32 - 1;

interface Spanned {
  at?: Timestamp | undefined;
  spanMs: number;
}

/** One sample for all of these; `at` is the newest's, the span is their sum. Throws RangeError on none. */
export function average<Desc extends DescMessage>(schema: Desc, samples: readonly (MessageShape<Desc> & Spanned)[]): MessageShape<Desc> {
  const last = samples.at(-1);
  if (last === undefined) throw new RangeError("the average of no sample");
  if (samples.length === 1) return last;
  const result = reflect(schema, create(schema));
  const rows = samples.map((sample) => ({ weight: Math.max(1, sample.spanMs), values: reflect(schema, sample) }));
  for (const field of schema.fields) fold(result, field, rows);
  const message = result.message as MessageShape<Desc> & Spanned;
  if (last.at !== undefined) message.at = last.at;
  message.spanMs = Math.min(
    longestSpanMs,
    samples.reduce((sum, { spanMs }) => sum + spanMs, 0),
  );
  return message;
}

function fold(result: ReflectMessage, field: DescField, rows: readonly { weight: number; values: ReflectMessage }[]): void {
  if (field.fieldKind !== "scalar") return;
  const found = rows.filter(({ values }) => values.isSet(field));
  const newest = found.at(-1);
  if (newest === undefined) return;
  if (field.scalar === ScalarType.STRING) {
    result.set(field, newest.values.get(field));
    return;
  }
  const weight = found.reduce((sum, row) => sum + row.weight, 0);
  const mean = found.reduce((sum, row) => sum + Number(row.values.get(field)) * row.weight, 0) / weight;
  if (field.scalar === ScalarType.DOUBLE) result.set(field, mean);
  else result.set(field, field.scalar === ScalarType.UINT64 ? BigInt(Math.round(mean)) : Math.round(mean));
}

/** At most about `count` samples over the window, each an average over a part of it; parts without a sample are left out. */
export function thin<Desc extends DescMessage>(
  schema: Desc,
  samples: readonly (MessageShape<Desc> & Spanned)[],
  { windowMs, count }: { windowMs: number; count: number },
): MessageShape<Desc>[] {
  const stepMs = Math.ceil(windowMs / count);
  const parts = new Map<number, (MessageShape<Desc> & Spanned)[]>();
  for (const sample of samples) {
    const key = Math.floor((sample.at === undefined ? 0 : timestampMs(sample.at)) / stepMs);
    const part = parts.get(key);
    if (part === undefined) parts.set(key, [sample]);
    else part.push(sample);
  }
  return [...parts.values()].map((part) => average(schema, part));
}
