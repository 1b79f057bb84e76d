// Every REST route that the contract declares, read from its google.api.http options.
import { fault } from "@aether/contract";
import { http as httpOption } from "@aether/contract/gen/google/api/annotations_pb";
import type { HttpRule } from "@aether/contract/gen/google/api/http_pb";
import { type DescMethod, type DescService, getOption, hasOption } from "@bufbuild/protobuf";
import { compileTemplate, type PathTemplate } from "./path-template.ts";

export interface Binding extends PathTemplate {
  readonly verb: string;
  readonly template: string;
  /** "" (no body), "*" (the whole message) or the name of a field. */
  readonly body: string;
  readonly method: DescMethod;
  /** Another way to the same method (additional_bindings). */
  readonly isAdditional: boolean;
}

/** The routes of these services. Throws CONFIG_INVALID when two methods claim one route. */
export function bindingsOf(services: Iterable<DescService>): Binding[] {
  const found: Binding[] = [];
  for (const service of services) {
    for (const method of service.methods) {
      if (hasOption(method, httpOption)) collect(method, getOption(method, httpOption), found);
    }
  }
  const seen = new Set<string>();
  for (const { verb, regexp, template } of found) {
    const route = `${verb} ${regexp.source}`;
    if (seen.has(route)) throw fault("CONFIG_INVALID", `two methods claim ${verb} ${template}`);
    seen.add(route);
  }
  return found;
}

function collect(method: DescMethod, rule: HttpRule, found: Binding[], isAdditional = false): void {
  const { case: kind, value } = rule.pattern;
  if (kind !== undefined) {
    const [verb, template] = kind === "custom" ? [value.kind, value.path] : [kind.toUpperCase(), value];
    found.push({ verb, template, ...compileTemplate(template), body: rule.body, method, isAdditional });
  }
  for (const extra of rule.additionalBindings) collect(method, extra, found, true);
}

/**
 * The reading of the one resource that this change's path names: `…/nodes/{id}` for `…/nodes/{id}:cordon`, `…/guards` for `…/guards:pause` and for
 * `PUT …/guards/windows`, which is a part of it.
 */
export function resourceOf(all: readonly Binding[], change: Pick<Binding, "template" | "verb" | "variables">): Binding | undefined {
  const probe = change.template.replace(/:[a-z-]+$/i, "").replace(/\{[^}]+\}/g, "x");
  const find = (path: string) =>
    all.find(
      ({ verb, method, regexp, variables }) =>
        verb === "GET" &&
        /^Get/.test(method.name) &&
        method.methodKind === "unary" &&
        variables.length === change.variables.length &&
        regexp.test(path),
    );
  return find(probe) ?? (change.verb === "PUT" || change.verb === "PATCH" ? find(probe.replace(/\/[^/]+$/, "")) : undefined);
}
