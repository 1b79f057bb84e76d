// A step of the build: the browser needs the shapes of the contract's messages, not the routes, roles and comments that servers read from their options.
// Without them a page is 5 kB smaller, compressed.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { type DescriptorProto, FieldOptionsSchema, FileDescriptorProtoSchema, MessageOptionsSchema } from "@bufbuild/protobuf/wkt";
import type { Plugin } from "vite";

const descriptor = /fileDesc\("([A-Za-z0-9+/=]+)"(?:, \[([^\]]*)\])?\)/;
/** Files that give options their meaning, and no message that travels. */
const ofOptions = new Set(["file_google_api_annotations", "file_google_protobuf_descriptor"]);

export function leanContract(): Plugin {
  return {
    name: "lean-contract",
    transform(code, id) {
      if (/\/wkt\/(gen\/)?google\/protobuf\/descriptor_pb\.js$/.test(id)) return withoutUnusedFields(code);
      if (!/\/contract\/src\/gen\/.*_pb\.ts$/.test(id)) return;
      return code.replace(descriptor, (_whole, text: string, imports = "") => {
        const kept = imports.split(", ").filter((name: string) => name !== "" && !ofOptions.has(name));
        return `fileDesc("${withoutOptions(text)}", [${kept.join(", ")}])`;
      });
    },
  };
}

/** Options, comments and defaults of editions: messages that descriptors refer to, and that nothing is read from here. Their fields become unknown ones. */
const unread = new Set([
  "FileOptions",
  "OneofOptions",
  "EnumOptions",
  "EnumValueOptions",
  "ServiceOptions",
  "MethodOptions",
  "ExtensionRangeOptions",
  "UninterpretedOption",
  "FeatureSetDefaults",
  "SourceCodeInfo",
  "GeneratedCodeInfo",
]);

function withoutUnusedFields(code: string): string {
  return code.replace(/(= \/\*@__PURE__\*\/ boot\()(\{.*\})(\);)$/m, (_whole, before: string, text: string, after: string) => {
    const file = JSON.parse(text) as { messageType: { name: string }[] };
    const messageType = file.messageType.map((message) => (unread.has(message.name) ? { name: message.name } : message));
    return before + JSON.stringify({ ...file, messageType }) + after;
  });
}

function withoutOptions(text: string): string {
  const file = fromBinary(FileDescriptorProtoSchema, base64Decode(text));
  delete file.options;
  file.extension = [];
  file.messageType.forEach(strip);
  for (const each of file.enumType) for (const value of each.value) delete value.options;
  for (const { method } of file.service) for (const each of method) delete each.options;
  return base64Encode(toBinary(FileDescriptorProtoSchema, file), "std_raw");
}

function strip(message: DescriptorProto): void {
  // What says how bytes are read stays: entries of maps, packed lists.
  if (message.options?.mapEntry === true) message.options = create(MessageOptionsSchema, { mapEntry: true });
  else delete message.options;
  for (const field of message.field) {
    const packed = field.options?.packed;
    delete field.options;
    if (packed !== undefined) field.options = create(FieldOptionsSchema, { packed });
  }
  message.nestedType.forEach(strip);
}
