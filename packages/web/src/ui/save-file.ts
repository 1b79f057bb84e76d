const types: Readonly<Record<string, string>> = {
  json: "application/json",
  html: "text/html",
  md: "text/markdown",
  gz: "application/gzip",
};

/** Gives the browser a file to keep. */
export function saveFile(name: string, content: string | Blob): void {
  const type = types[name.slice(name.lastIndexOf(".") + 1)] ?? "application/octet-stream";
  const url = URL.createObjectURL(typeof content === "string" ? new Blob([content], { type }) : content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
