/**
 * What the frames of the native protocol say, read and written (docs/protocol.md §3, §5, §8, §9).
 *
 * Pure, and strict: `parse` throws the close code that a malformed frame ends its session with.
 */

var PROTOCOL_ERROR = 1002;
var INVALID_TEXT = 1007;
var MOST = 9007199254740991;
var SURROGATES = /[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]/g;
// All combining marks and whatever has another composed form, with many that have none: Latin and ideographs stay.
var COMPOSING = /[\u0300-\u30ff\ua000-\uffff]/g;
var CLEAN = /^(10(0[018]|1[123])|[34]\d\d\d)$/; // the codes that a clean close may have

/** JSON, also where arrays have a toJSON of the page's (old Prototype.js), which would make texts of them. */
export function toJson(value) {
  var arrays = Array.prototype, own = arrays.toJSON;
  delete arrays.toJSON;
  try {
    return JSON.stringify(value);
  } finally {
    if (own) arrays.toJSON = own;
  }
}

/** The value as a text, with U+FFFD for each lone surrogate: only Unicode scalar values travel. */
export function scalars(text) {
  return String(text).replace(SURROGATES, function (found) {
    return found.length > 1 ? found : "\ufffd";
  });
}

/** The bytes of a text of scalar values in UTF-8. */
export function utf8Length(text) {
  // Each half of a surrogate pair counts two of its four bytes.
  return text.length + text.replace(/[\0-\x7f]+/g, "").length + text.replace(/[\0-\u07ff\ud800-\udfff]+/g, "").length;
}

/** Whatever has typed arrays has btoa. By pieces, which engines put together faster. */
export function toBase64(bytes) {
  // An array, since engines of 2012 apply nothing to a typed one.
  for (var text = "", at = 0; at < bytes.length; ) text += btoa(String.fromCharCode.apply(0, [].slice.call(bytes, at, (at += 8190))));
  return text;
}

/** The bytes, as numbers. */
export function fromBase64(text) {
  var bytes = [], bits = 0, i = 0, code;
  if (text.length % 4 || !/^[A-Za-z0-9+\/]*=?=?$/.test(text)) throw INVALID_TEXT;
  // Codes count from that of "=", so that it ends here, as does the end, which has none.
  for (; (code = text.charCodeAt(i) - 61); i++) {
    bits = (bits << 6) | (code > 35 ? code - 10 : code > 3 ? code - 4 : code > -14 ? code + 65 : code > -15 ? 63 : 62);
    if (i & 3) bytes.push((bits >> (6 - 2 * (i & 3))) & 255); // bits of long ago fall out
  }
  return bytes;
}

export function number(text) {
  need(/^(0|[1-9]\d{0,15})$/.test(text) && +text <= MOST);
  return +text;
}

export function need(condition) {
  if (!condition) throw PROTOCOL_ERROR;
}

/** Checks what the server's `o` says: only what is known to be sound reaches the machine. */
function opened(json) {
  var server, numbers, pauses, i;
  function time(name) {
    return server[name] === null ? 1 : server[name];
  }
  try {
    server = JSON.parse(json);
    pauses = server.poll_interval;
    // Acks may be 0, and nothing else; up to max_size they are whole.
    numbers = server.ack.concat(
      server.window,
      server.max_batch,
      [server.max_size, server.resume_window, time("ping_interval"), time("ping_timeout")],
      pauses
    );
    for (i = 12; i--; ) need(numbers[i] === +numbers[i] && numbers[i] > -(i < 2) && numbers[i] <= MOST && (i > 6 || numbers[i] % 1 === 0));
    need(
      /^[\w.-]+,[\w.-]+,[\w.-]{1,64},2,2,2,12$/.test(
        [server.sid, server.key, "tenure" in server ? server.tenure : 0, server.ack.length, server.window.length, pauses.length, numbers.length]
      ) &&
        server.sid.length && // no number
        pauses[0] <= pauses[1] &&
        server.transports.pop
    );
    for (i = server.transports.length; i--; ) need(server.transports[i].name);
  } catch (error) {
    need();
  }
  return server;
}

/**
 * The fields of a server's frame, as an array.
 *
 * Their meaning is the frame's: text; bytes; numbers; [code, reason]; [code, scope, received, reason]; the opening's
 * object; whatever stands behind an `e`, `p` or `q`. Unknown frames have none.
 */
export function parse(frame) {
  var type = frame.charAt(0), rest = frame.slice(1), fields;
  if (frame !== scalars(frame)) throw INVALID_TEXT;
  need(type);
  fields = type !== "m" && rest.split(",");
  switch (type) {
    case "b":
      return [fromBase64(rest)];
    case "a":
    case "r":
      fields[1] = number(fields[1]);
    // falls through
    case "n":
    case "d":
      fields[0] = number(fields[0]);
      return fields;
    case "c":
      need(CLEAN.test(fields[0]));
      return [+fields.shift(), fields.join(",")];
    case "x":
      need(/^[1-4]\d\d\d,(session|carrier),[^,]*,/.test(rest));
      return [+fields.shift(), fields.shift(), fields[0] && number(fields[0]), fields.slice(1).join(",")];
    case "g":
      need(/^(0|[1-9]\d*)(\.\d+)?$/.test(rest));
      return [+rest];
    case "o":
      return [opened(rest)];
    case "p":
      return [scalars(rest.slice(0, 64))];
  }
  return [rest];
}

/**
 * Frames as a batch. Characters that may change in company are escaped: old WebKit composes what it sends (NFC).
 */
export function toBatch(frames) {
  return toJson(frames).replace(COMPOSING, function (character) {
    return escape(character).replace("%", "\\");
  });
}

/** A batch as its frames. Throws for what is none: the carrier is broken, and somebody else has answered. */
export function parseBatch(text) {
  var frames = JSON.parse(text), i;
  need(!/\n\s*\S/.test(text) && frames.pop);
  for (i = 0; i < frames.length; i++) need(typeof frames[i] === "string");
  return frames;
}
