// Wrong uses of aiohttp-realtime/webtransport: nothing of this compiles.

import All, { Realtime } from "aiohttp-realtime";
import { webtransport } from "aiohttp-realtime/webtransport";

// @ts-expect-error: it is a function that makes the transport
new Realtime("/realtime/chat", { transports: [webtransport] });
// @ts-expect-error: nor has the default export it by its name
new All("/realtime/chat", { transports: ["webtransport"] });
// @ts-expect-error: browsers know no other
webtransport({ serverCertificateHashes: [{ algorithm: "sha-1", value: new Uint8Array(20) }] });
// @ts-expect-error: a hash is bytes
webtransport({ serverCertificateHashes: [{ algorithm: "sha-256", value: "base64" }] });
// @ts-expect-error: no such option
webtransport({ port: 4433 });
