// The API reference, made from /openapi.json in the browser. Text from the document is only ever set as text.

/** An element with attributes and children; texts become text nodes. */
function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined && value !== false) element.setAttribute(key, value);
  element.append(...children.flat(Number.POSITIVE_INFINITY).filter((child) => child !== undefined && child !== null));
  return element;
}

/** Text with `code` in it. */
const prose = (text = "") => text.split("`").map((part, i) => (i % 2 === 1 ? h("code", {}, part) : part));

const content = document.getElementById("content");
const verbs = ["get", "post", "put", "patch", "delete"];

start().catch((error) => {
  content.replaceChildren(h("p", { role: "alert" }, `The reference cannot be shown: ${error.message}. Look at /openapi.json itself.`));
});

async function start() {
  const response = await fetch("/openapi.json");
  if (!response.ok) throw new Error(`openapi.json answers ${response.status}`);
  const api = await response.json();
  document.getElementById("version").textContent = `${api.info.title} ${api.info.version}, OpenAPI ${api.openapi}`;
  const operations = Object.entries(api.paths).flatMap(([path, item]) =>
    verbs.filter((verb) => item[verb]).map((verb) => ({ path, verb, ...item[verb] })),
  );
  const sections = api.tags
    .map((tag) =>
      section(
        api,
        tag,
        operations.filter((each) => each.tags.includes(tag.name)),
      ),
    )
    .filter(Boolean);
  content.replaceChildren(introduction(api), ...sections, schemaSection(api));
  document
    .getElementById("tags")
    .replaceChildren(
      h("a", { href: "#rules" }, "Rules"),
      ...api.tags.map(({ name }) => h("a", { href: `#${name}` }, name)),
      h("a", { href: "#messages" }, "Messages"),
    );
  const find = document.getElementById("find");
  find.addEventListener("input", () => filter(find.value.trim().toLowerCase()));
  openTarget();
  window.addEventListener("hashchange", openTarget);
}

function introduction({ info }) {
  const lines = info.description.split("\n").filter((line) => line !== "");
  const items = lines.filter((line) => line.startsWith("- ")).map((line) => h("li", {}, prose(line.slice(2))));
  return h("section", { id: "rules" }, h("h2", {}, "Rules for every route"), h("p", {}, prose(lines[0])), h("ul", {}, items));
}

function section(api, { name, description }, operations) {
  if (operations.length === 0) return undefined;
  return h(
    "section",
    { id: name },
    h("h2", {}, name),
    h("p", {}, prose(description)),
    operations.map((each) => operation(api, each)),
  );
}

function operation(api, each) {
  const title = h(
    "summary",
    {},
    h("span", { class: `verb ${each.verb}` }, each.verb.toUpperCase()),
    h("code", {}, each.path),
    h("span", { class: "role" }, each["x-required-role"]),
    h("span", { class: "short" }, each.summary),
  );
  const parameters = each.parameters.map((parameter) => resolve(api, parameter));
  const body = each.requestBody?.content["application/json"];
  return h(
    "details",
    { id: each.operationId, "data-text": `${each.verb} ${each.path} ${each["x-required-role"]} ${each.description ?? ""}`.toLowerCase() },
    title,
    h("p", {}, prose(each.description ?? each.summary)),
    parameterTable(api, parameters),
    body === undefined ? undefined : [h("h3", {}, "Body"), shape(api, body.schema)],
    h("h3", {}, "Example"),
    h("pre", {}, curl(each, body)),
    h("h3", {}, "Answers"),
    h(
      "dl",
      {},
      Object.entries(each.responses).flatMap(([status, answer]) => [h("dt", {}, status), h("dd", {}, answerOf(api, resolve(api, answer)))]),
    ),
  );
}

function curl({ verb, path, security }, body) {
  const address = path.replaceAll(/\{[^}]+\}/g, (name) => name.slice(1, -1).toUpperCase().replace(".", "_"));
  const lines = [`curl -X ${verb.toUpperCase()} "$AETHER_URL${address}"`];
  if (security?.length !== 0) lines.push('-H "Authorization: Bearer $AETHER_TOKEN"');
  if (body !== undefined) lines.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(body.example ?? {})}'`);
  return lines.join(" \\\n  ");
}

function parameterTable(api, parameters) {
  if (parameters.length === 0) return undefined;
  const rows = parameters.map(({ name, in: place, required, schema, description }) =>
    h(
      "tr",
      {},
      h("td", {}, h("code", {}, name)),
      h("td", {}, place),
      h("td", {}, typeOf(api, schema)),
      h("td", {}, required ? "required. " : "", prose(description)),
    ),
  );
  return h(
    "table",
    {},
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ["Parameter", "In", "Type", ""].map((name) => h("th", {}, name)),
      ),
    ),
    h("tbody", {}, rows),
  );
}

function answerOf(api, { description, content: kinds }) {
  const schema = kinds?.["application/json"]?.schema ?? kinds?.["application/x-ndjson"]?.schema;
  const lines = description.split("\n").map((line) => h("div", {}, prose(line)));
  const isError = schema?.$ref?.endsWith("/Error");
  return schema === undefined || isError ? lines : [lines, shape(api, schema)];
}

function resolve(api, value) {
  if (value.$ref === undefined) return value;
  return value.$ref
    .slice(2)
    .split("/")
    .reduce((at, key) => at[key], api);
}

const nameIn = (ref) => ref.split("/").at(-1);
const link = (ref) => h("a", { href: `#message-${nameIn(ref)}` }, nameIn(ref));

function typeOf(api, schema) {
  if (schema.$ref) return link(schema.$ref);
  if (schema.type === "array") return h("span", {}, "list of ", typeOf(api, schema.items));
  if (schema.additionalProperties?.type || schema.additionalProperties?.$ref)
    return h("span", {}, "map of ", typeOf(api, schema.additionalProperties));
  return `${schema.type ?? "any"}${schema.format ? ` (${schema.format})` : ""}`;
}

/** The fields of a message; a reference is a link. */
function shape(api, schema) {
  if (schema.$ref) return h("p", {}, link(schema.$ref));
  if (schema.enum) {
    const about = schema["x-enum-descriptions"] ?? {};
    return h(
      "ul",
      {},
      schema.enum.map((value) => h("li", {}, h("code", {}, value), about[value] ? [" ", ...prose(about[value])] : "")),
    );
  }
  const fields = Object.entries(schema.properties ?? {});
  if (fields.length === 0) return h("p", {}, "nothing");
  const rows = fields.map(([name, field]) =>
    h("tr", {}, h("td", {}, h("code", {}, name)), h("td", {}, typeOf(api, field)), h("td", {}, prose(field.description))),
  );
  return h("table", {}, h("tbody", {}, rows));
}

function schemaSection(api) {
  const messages = Object.entries(api.components.schemas).map(([name, schema]) =>
    h(
      "details",
      { id: `message-${name}`, "data-text": `${name} ${schema.description ?? ""}`.toLowerCase() },
      h("summary", {}, h("code", {}, name)),
      h("p", {}, prose(schema.description)),
      shape(api, schema),
    ),
  );
  return h("section", { id: "messages" }, h("h2", {}, "Messages"), messages);
}

function filter(text) {
  for (const each of content.querySelectorAll("details")) each.hidden = text !== "" && !each.dataset.text.includes(text);
  for (const each of content.querySelectorAll("section")) each.hidden = text !== "" && !each.querySelector("details:not([hidden])");
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
  target?.scrollIntoView();
}
