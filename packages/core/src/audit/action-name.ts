import type { DescMethod } from "@bufbuild/protobuf";

/** WorkloadService.RunWorkload is `workload.run`, AccessService.CreateToken is `access.create-token`. */
export function actionName(method: DescMethod): string {
  const noun = method.parent.name.replace(/Service$/, "");
  const verb = method.name.endsWith(noun) && method.name !== noun ? method.name.slice(0, -noun.length) : method.name;
  return `${kebab(noun)}.${kebab(verb)}`;
}

const kebab = (name: string): string => name.replace(/(?<=[a-z0-9])([A-Z])/g, "-$1").toLowerCase();
