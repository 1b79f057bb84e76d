/** "Firefox 143 on Linux" of a User-Agent, for people; the text itself where nothing is recognised. */
export function browserName(userAgent: string): string {
  const browser = ["Edg", "OPR", "Firefox", "HeadlessChrome", "Chrome", "Version"].flatMap((name) => {
    const version = new RegExp(`${name}/(\\d+)`).exec(userAgent)?.[1];
    return version === undefined ? [] : [`${titles[name] ?? name} ${version}`];
  })[0];
  const system = ["Android", "iPhone", "Windows", "Mac OS X", "Linux"].find((name) => userAgent.includes(name));
  if (browser === undefined) return userAgent.slice(0, 60) || "not said";
  return system === undefined ? browser : `${browser} on ${system === "Mac OS X" ? "macOS" : system}`;
}

const titles: Readonly<Record<string, string>> = { Edg: "Edge", OPR: "Opera", HeadlessChrome: "Chrome (headless)", Version: "Safari" };
