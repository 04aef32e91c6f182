// The types of aiohttp-realtime/webtransport, written by hand. The build copies this file to dist/, once for `import` and
// once for `require`.

import type { Transport } from "./realtime.cjs";

/** How a certificate is known: the SHA-256 of the whole of it. */
export interface CertificateHash {
  algorithm: "sha-256";
  value: ArrayBuffer | ArrayBufferView;
}

export interface WebTransportOptions {
  /**
   * Certificates that are taken by their hashes and by nothing else, as the browser's `WebTransport` has it. Unless told, the
   * one that the server says, if it says one.
   */
  serverCertificateHashes?: CertificateHash[] | undefined;
}

/**
 * The transport over HTTP/3, for `Options.transports`: where it is to be tried, best in front of the others.
 * @throws {TypeError} For another option, and for hashes that are no list.
 */
export function webtransport(options?: WebTransportOptions): Transport;
