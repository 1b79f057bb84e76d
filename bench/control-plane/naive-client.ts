// Posts one sample a request, so many at once, for so long; answers how many were taken.
const [url = "", body = "", atOnce = "32", runMs = "5000"] = process.argv.slice(2);
let count = 0;
const startedMs = performance.now();
const one = async () => {
  while (performance.now() - startedMs < Number(runMs)) {
    const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    await response.arrayBuffer();
    count++;
  }
};
await Promise.all(Array.from({ length: Number(atOnce) }, one));
process.send?.({ count, tookMs: performance.now() - startedMs });
