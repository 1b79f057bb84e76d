// /docs/v1: every route of v1 and what replaces it, made from the same table as the routes themselves.
import type { V1Route } from "./call.ts";

const html = (text: string) => text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`).replace(/`([^`]+)`/g, "<code>$1</code>");

export function v1Page(routes: readonly V1Route[], sunsetAt: Date): string {
  const rows = routes.map(
    ({ verb, path, replacedBy }) => `<tr><td><code>${verb} /api/v1${html(path)}</code></td><td>${html(replacedBy)}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Aether Guard: from v1 to v2</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/reference.css">
</head>
<body>
<header><h1>From v1 to v2</h1><a href="/docs">API reference</a></header>
<main class="plain"><div>
<p>v1 stays for old clients until ${sunsetAt.toISOString().slice(0, 10)}. Each of its answers carries <code>Deprecation</code>, <code>Sunset</code> and a <code>Link</code> to this page.
It takes the same tokens as v2, in <code>Authorization: Bearer</code> or <code>X-API-Key</code>, asks for the same roles, and its errors have the same shape.</p>
<table>
<thead><tr><th>v1</th><th>Now</th></tr></thead>
<tbody>
${rows.join("\n")}
</tbody>
</table>
</div></main>
</body>
</html>
`;
}
