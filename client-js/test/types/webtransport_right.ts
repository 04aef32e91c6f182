// Right uses of aiohttp-realtime/webtransport: all of this compiles.

import All, { all, Realtime, websocket } from "aiohttp-realtime";
import { webtransport, type CertificateHash, type WebTransportOptions } from "aiohttp-realtime/webtransport";

const hash: CertificateHash = { algorithm: "sha-256", value: new Uint8Array(32) };
const options: WebTransportOptions = { serverCertificateHashes: [hash] };
const session = new Realtime("/realtime/chat", { transports: [webtransport(), websocket] });
new Realtime("/realtime/chat", { transports: [webtransport(options), ...all] });
new All("/realtime/chat", { transports: [webtransport({ serverCertificateHashes: undefined }), "websocket", "long_polling"] });
const name: string = session.transport;
session.ontransport = (event) => event.transport === "webtransport";

export { name };
