// What a browser adds to a request: the session's cookie, and where the request comes from. A cookie counts only for a request of our own
// page: SameSite=Strict keeps it from others already, and this is looked at besides.

export interface BrowserFacts {
  /** Of the session, as the cookie has it. */
  readonly sessionSecret: string | undefined;
  /** The request was made by our own page (or by no page at all, as a program's). */
  readonly isSameOrigin: boolean;
  readonly userAgent: string;
  /** Sets or ends the cookie. `isSecure` where the request itself cannot tell (a navigation has no Origin). */
  setCookie(secret: string, maxAgeMs: number, isSecure?: boolean): string;
}

type Header = (name: string) => string | undefined;

/**
 * The cookie's name has the port, because browsers do not keep cookies of two ports apart. `Secure` is set where the page was loaded over
 * TLS, which its Origin says; the loopback without TLS is a place where browsers would refuse it.
 */
export function browserFacts(header: Header): BrowserFacts {
  const host = header("host") ?? "";
  const port = /:(\d{1,5})$/.exec(host)?.[1];
  const name = `aether_session${port === undefined ? "" : `_${port}`}`;
  const isOverTls = /^https:/.test(header("origin") ?? "");
  return {
    sessionSecret: readCookie(header("cookie") ?? "", name),
    isSameOrigin: isSameOrigin(header, host),
    userAgent: header("user-agent") ?? "",
    setCookie: (secret, maxAgeMs, isSecure = isOverTls) =>
      `${name}=${secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${Math.floor(maxAgeMs / 1000)}${isSecure ? "; Secure" : ""}`,
  };
}

/** By Fetch Metadata where the browser sends it (https://www.w3.org/TR/fetch-metadata/), else by Origin against Host. */
function isSameOrigin(header: Header, host: string): boolean {
  const site = header("sec-fetch-site");
  if (site !== undefined) return site === "same-origin" || site === "none";
  const origin = header("origin");
  if (origin === undefined) return true;
  return /^https?:\/\/(.+)$/.exec(origin)?.[1]?.toLowerCase() === host.toLowerCase();
}

function readCookie(cookies: string, name: string): string | undefined {
  for (const each of cookies.split("; ")) if (each.startsWith(`${name}=`)) return each.slice(name.length + 1);
  return undefined;
}
