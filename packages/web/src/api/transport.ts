// The one way to the control plane: Connect over the page's own origin, with the session's cookie. A program's token never comes near a browser.
import { createConnectTransport } from "@connectrpc/connect-web";

export const transport = createConnectTransport({ baseUrl: location.origin, useBinaryFormat: true, defaultTimeoutMs: 20_000 });
