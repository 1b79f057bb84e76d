// /openapi.json, and a page at /docs that shows it. Neither needs a credential: the contract is no secret, and says nothing of what is run here.
import type { DescService } from "@bufbuild/protobuf";
import type { FastifyInstance } from "fastify";
import { coreVersion } from "../../version.ts";
import { serveFile, serveText } from "../static-files.ts";
import { openApiDocument } from "./document.ts";

/** packages/core, the same seen from src and from dist. */
const packageDir = new URL("../../../", import.meta.url);

export function referenceRoutes(services: readonly DescService[]): (app: FastifyInstance) => Promise<void> {
  return async (app) => {
    serveText(app, "/openapi.json", "json", JSON.stringify(openApiDocument(services, coreVersion)));
    await serveFile(app, "/docs", new URL("reference/index.html", packageDir));
    for (const name of ["reference.js", "reference.css"]) await serveFile(app, `/docs/${name}`, new URL(`reference/${name}`, packageDir));
  };
}
