/**
 * FlashSocket: a WebSocket class over FlashSocket.swf, for `window.WebSocket = FlashSocket`.
 *
 * `await FlashSocket.load(player, url, policyPort)` first: the element of a Flash player, and the movie's address. With
 * `policyPort` the movie asks the server for its policy file there, as Adobe's player wants before it opens a socket.
 */
"use strict";

const [TEXT, BINARY] = [1, 2]; // as RFC 6455 numbers them
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class FlashSocket extends EventTarget {
  static #sockets = new Map();
  static #movie;
  static #policyPort = 0;
  static #count = 0;
  /** Called by the movie when it is there; who waits for that has put it here. */
  static loaded() {}

  static async load(player, url, policyPort = 0) {
    FlashSocket.#movie = player.ruffle();
    FlashSocket.#policyPort = policyPort;
    await new Promise((resolve, reject) => {
      FlashSocket.loaded = resolve;
      FlashSocket.#movie.load({ url, allowScriptAccess: true, autoplay: "on" }).catch(reject);
    });
  }

  /** Called by the movie; it may be in the midst of something, so all else happens when it is out of it. */
  static told(id, what, ...details) {
    queueMicrotask(() => FlashSocket.#sockets.get(id)?.#take(what, ...details));
  }

  static #call(name, ...details) {
    return FlashSocket.#movie.callExternalInterface(name, ...details);
  }

  #id = ++FlashSocket.#count;
  #state = 0;
  #type = "blob";
  onopen = null;
  onmessage = null;
  onerror = null;
  onclose = null;

  constructor(url, protocols = []) {
    super();
    for (const type of ["open", "message", "error", "close"])
      this.addEventListener(type, (event) => this[`on${type}`]?.(event));
    const { protocol, hostname, port, pathname, search, href } = new URL(url, location.href);
    if (!/^(ws|http):$/.test(protocol)) throw new DOMException(`FlashSocket speaks no TLS: ${href}`, "SyntaxError");
    if (protocols.length) throw new DOMException("FlashSocket knows no subprotocols", "SyntaxError");
    this.url = href.replace(/^http/, "ws");
    FlashSocket.#sockets.set(this.#id, this);
    const path = pathname + search;
    FlashSocket.#call("flashOpen", this.#id, hostname, +port || 80, path, location.origin, FlashSocket.#policyPort);
  }

  get readyState() {
    return this.#state;
  }

  get bufferedAmount() {
    return FlashSocket.#call("flashWaiting", this.#id);
  }

  get binaryType() {
    return this.#type;
  }

  set binaryType(type) {
    if (type === "blob" || type === "arraybuffer") this.#type = type;
  }

  get protocol() {
    return "";
  }

  get extensions() {
    return "";
  }

  send(data) {
    if (this.#state === 0) throw new DOMException("still connecting", "InvalidStateError");
    if (data instanceof Blob) throw new TypeError("FlashSocket sends no Blobs: await blob.arrayBuffer()");
    if (this.#state > 1) return;
    const binary = data instanceof ArrayBuffer || ArrayBuffer.isView(data);
    FlashSocket.#call("flashSend", this.#id, base64(binary ? data : new TextEncoder().encode(data)), binary ? BINARY : TEXT);
  }

  close(code, reason = "") {
    if (code !== undefined && code !== 1000 && !(code >= 3000 && code < 5000))
      throw new DOMException(`${code} is no code to close with`, "InvalidAccessError");
    const said = new TextEncoder().encode(reason);
    if (said.length > 123) throw new DOMException("a reason has 123 bytes at most", "SyntaxError");
    if (this.#state > 1) return;
    this.#state = 2;
    FlashSocket.#call("flashClose", this.#id, code ?? (reason ? 1000 : 0), base64(said));
  }

  #take(what, data, number) {
    if (what === "open" && this.#state === 0) {
      this.#state = 1;
      this.dispatchEvent(new Event("open"));
    } else if (what === "message" && this.#state === 1) {
      const bytes = unpacked(data);
      try {
        const whole = this.#type === "blob" ? () => new Blob([bytes]) : () => bytes.buffer;
        const value = number === BINARY ? whole() : decoder.decode(bytes);
        this.dispatchEvent(new MessageEvent("message", { data: value, origin: new URL(this.url).origin }));
      } catch {
        this.#state = 2; // no UTF-8: RFC 6455 §8.1
        FlashSocket.#call("flashClose", this.#id, 1007, "");
      }
    } else if (what === "close") {
      FlashSocket.#sockets.delete(this.#id);
      this.#state = 3;
      const wasClean = number !== 1006;
      if (!wasClean) this.dispatchEvent(new Event("error"));
      const reason = new TextDecoder().decode(unpacked(data));
      this.dispatchEvent(new CloseEvent("close", { code: number, reason, wasClean }));
    }
  }
}

for (const [state, name] of ["CONNECTING", "OPEN", "CLOSING", "CLOSED"].entries())
  for (const holder of [FlashSocket, FlashSocket.prototype]) Object.defineProperty(holder, name, { value: state });

function unpacked(data) {
  return Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
}

function base64(data) {
  const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}
