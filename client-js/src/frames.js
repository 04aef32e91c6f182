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
var ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The text with U+FFFD for each lone surrogate: only Unicode scalar values travel. */
export function scalars(text) {
  return text.replace(SURROGATES, function (found) {
    return found.length > 1 ? found : "\ufffd";
  });
}

/** The bytes of a text of scalar values in UTF-8. */
export function utf8Length(text) {
  var length = text.length, i, code;
  for (i = text.length; i--; ) {
    code = text.charCodeAt(i);
    // Each half of a surrogate pair counts two of its four bytes.
    if (code > 127) length += code > 2047 && (code < 55296 || code > 57343) ? 2 : 1;
  }
  return length;
}

export function toBase64(bytes) {
  var text = "", bit, at;
  for (bit = 0; bit < bytes.length * 8; bit += 6) {
    at = bit >> 3;
    // Six bits lie in two bytes at most; one that is missing counts as 0.
    text += ALPHABET.charAt((((bytes[at] << 8) | bytes[at + 1]) >> (10 - (bit & 7))) & 63);
  }
  while (text.length % 4) text += "=";
  return text;
}

/** The bytes, in an array of numbers. */
export function fromBase64(text) {
  var digits = text.replace(/=?=?$/, ""), bytes = [], bits = 0, i, digit;
  for (i = 0; i < digits.length; i++) {
    digit = ALPHABET.indexOf(digits.charAt(i));
    if (digit < 0) throw INVALID_TEXT;
    bits = (bits << 6) | digit; // those of long ago fall out
    if (i & 3) bytes.push((bits >> (6 - 2 * (i & 3))) & 255);
  }
  if (text.length % 4) throw INVALID_TEXT;
  return bytes;
}

function number(text) {
  need(/^(0|[1-9]\d{0,15})$/.test(text) && +text <= MOST);
  return +text;
}

function need(condition) {
  if (!condition) throw PROTOCOL_ERROR;
}

function isCount(value, least) {
  return typeof value === "number" && value % 1 === 0 && value >= least && value <= MOST;
}

function isPair(value, least) {
  return value && isCount(value[0], least) && isCount(value[1], least) && value.length === 2;
}

function isTime(value) {
  return typeof value === "number" && value > 0;
}

/** Checks what the server's `o` says: only what is known to be sound reaches the machine. */
function opened(json) {
  var server, names, pauses, i;
  try {
    server = JSON.parse(json);
  } catch (error) {
    throw PROTOCOL_ERROR;
  }
  need(server && /^[\w.-]+,[\w.-]+$/.test([server.sid, server.key]) && server.sid.length); // no number
  need(isPair(server.ack, 0) && isPair(server.window, 1) && isPair(server.max_batch, 1) && isCount(server.max_size, 1));
  pauses = server.poll_interval;
  need(pauses && isTime(pauses[0]) && isTime(pauses[1]) && pauses[0] <= pauses[1] && isTime(server.resume_window));
  need(server.ping_interval === null || isTime(server.ping_interval));
  need(server.ping_timeout === null || isTime(server.ping_timeout));
  names = server.transports;
  need(names && typeof names === "object");
  for (i = 0; i < names.length; i++) need(names[i] && names[i].name);
  return server;
}

/**
 * The fields of a server's frame, as an array.
 *
 * Their meaning is the frame's: text; bytes; numbers; [code, reason]; [code, scope, received, reason]; the opening's
 * object; whatever stands behind an `e`, `p` or `q`. Unknown frames have none.
 */
export function parse(frame) {
  var type = frame.charAt(0), rest = frame.slice(1), code;
  var fields = /[acdnrx]/.test(type) && rest.split(",");
  if (frame !== scalars(frame)) throw INVALID_TEXT;
  switch (type) {
    case "":
      throw PROTOCOL_ERROR;
    case "b":
      return [fromBase64(rest)];
    case "a":
    case "r":
      return [number(fields[0]), number(fields[1])];
    case "n":
    case "d":
      return [number(fields[0])];
    case "c":
      code = number(fields[0]);
      need(CLEAN.test(code));
      return [code, fields.slice(1).join(",")];
    case "x":
      code = number(fields[0]);
      need(/^[1-4]\d\d\d,(session|carrier),[^,]*,/.test(rest));
      return [code, fields[1], fields[2] ? number(fields[2]) : -1, fields.slice(3).join(",")];
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
  return JSON.stringify(frames).replace(COMPOSING, function (character) {
    return "\\u" + ("000" + character.charCodeAt(0).toString(16)).slice(-4);
  });
}

/** A batch as its frames. Throws for what is none: the carrier is broken, and somebody else has answered. */
export function parseBatch(text) {
  var frames = JSON.parse(text), i;
  need(!/\n\s*\S/.test(text) && frames.length !== undefined && typeof frames === "object");
  for (i = 0; i < frames.length; i++) need(typeof frames[i] === "string");
  return frames;
}
