import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assess } from "../assess/assess.ts";
import { DEFAULT_HAZARD_MODEL } from "../assess/default-hazard-model.ts";
import { FEED_LIMITS, type FeedResult, parseFeed, plainText } from "./feed.ts";
import { incidentEvidence, incidentsFrom } from "./incident.ts";

const rss = (items: string): string => `<?xml version="1.0"?><rss version="2.0"><channel><title>Status</title>${items}</channel></rss>`;
const item = (guid: string, title: string, date = "Tue, 03 Jan 2023 10:00:00 GMT"): string =>
  `<item><title><![CDATA[${title}]]></title><link>https://x/</link><pubDate>${date}</pubDate><guid isPermaLink="false">${guid}</guid><description>EC2 in us-east-1</description></item>`;
const itemsOf = (result: FeedResult) => ("items" in result ? result.items : []);
const now = Date.parse("2023-01-03T11:00:00Z") / 1000;

describe("parseFeed", () => {
  it("reads RSS, Atom and JSON Feed alike", () => {
    const expected = [{ id: "1", title: "Increased errors", publishedSeconds: now - 3600 }];
    expect(itemsOf(parseFeed(rss(item("1", "Increased errors"))))).toMatchObject(expected);
    const atom =
      '<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>1</id><title>Increased errors</title><updated>2023-01-03T10:00:00Z</updated><summary type="html">&lt;b&gt;us-east-1&lt;/b&gt;</summary></entry></feed>';
    expect(itemsOf(parseFeed(atom))).toMatchObject([{ ...expected[0], text: "us-east-1" }]);
    expect(
      itemsOf(parseFeed(JSON.stringify({ items: [{ id: 1, title: "Increased errors", date_published: "2023-01-03T10:00:00Z" }] }))),
    ).toMatchObject(expected);
  });

  it("refuses document types, other documents and what is too long", () => {
    expect(parseFeed('<!DOCTYPE x [<!ENTITY a "b">]><rss><channel/></rss>')).toHaveProperty("refusal");
    expect(parseFeed("<html></html>")).toHaveProperty("refusal");
    expect(parseFeed(" ".repeat(FEED_LIMITS.bytes + 1))).toHaveProperty("refusal");
    expect(parseFeed('{"items": 3}')).toHaveProperty("refusal");
  });

  it("keeps a bounded number of items of bounded length, and says that it cut", () => {
    const result = parseFeed(rss(Array.from({ length: 250 }, (_, i) => item(String(i), "x".repeat(1000))).join("")));
    expect(result).toMatchObject({ isCut: true });
    expect(itemsOf(result)).toHaveLength(FEED_LIMITS.items);
  });

  it("leaves no markup, control or direction characters in any text", () => {
    expect(plainText("&lt;script&gt;alert(1)&lt;/script&gt; a &amp;lt; b &#x202e;c&#0;")).toBe("alert(1) a &lt; b c");
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (text) => {
        expect(plainText(text)).not.toMatch(/[<>]/);
      }),
    );
  });

  it("never throws, and stays fast on text made to be slow", () => {
    fc.assert(fc.property(fc.string(), (text) => void parseFeed(`<rss>${text}`)));
    const start = performance.now();
    parseFeed(`<rss>${"<item ".repeat(150_000)}`);
    parseFeed(`<rss>${"<item><title ".repeat(70_000)}</item>`);
    plainText("<".repeat(500_000));
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

describe("incidents", () => {
  const items = itemsOf(
    parseFeed(
      rss(
        item("1", "Increased errors in us-east-1") +
          item("1", "Increased errors in us-east-1") +
          item("2", "Old in eu-west-1", "Tue, 01 Nov 2022 10:00:00 GMT"),
      ),
    ),
  );
  it("are counted once, by region, and forgotten with age", () => {
    expect(incidentsFrom(items, now).map((incident) => incident.region)).toEqual(["us-east-1"]);
    expect(incidentEvidence(incidentsFrom(items, now), "us-east-1", now)).toEqual({ ageSeconds: 3600 });
    expect(incidentEvidence(incidentsFrom(items, now), "eu-west-1", now)).toBeUndefined();
  });

  it("end when they are said to be resolved", () => {
    const later = itemsOf(
      parseFeed(rss(item("1", "Errors in us-east-1") + item("1", "RESOLVED: errors in us-east-1", "Tue, 03 Jan 2023 10:30:00 GMT"))),
    );
    expect(incidentEvidence(incidentsFrom(later, now), "us-east-1", now)).toBeUndefined();
  });

  it("raise the risk a little, and less with time", () => {
    const p = (ageSeconds?: number): number =>
      assess(DEFAULT_HAZARD_MODEL, { readings: { ageHours: 48 }, ...(ageSeconds === undefined ? {} : { incident: { ageSeconds } }) })
        .horizons[2]!.probability;
    expect(p(0)).toBeGreaterThan(p(7200));
    expect(p(7200)).toBeGreaterThan(p());
    expect(p(0)).toBeLessThan(2 * p());
  });
});
