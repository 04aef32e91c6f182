/**
 * Frames on a stream of bytes: each behind its length and its kind (docs/protocol.md §3.6), a text as a string and a
 * binary message as an ArrayBuffer. Where there is a WebTransport, there are typed arrays and TextEncoder as well.
 */

/** A head: twice the size, and one more for what is `binary`, as an integer of QUIC (RFC 9000 §16). */
function headOf(size, binary) {
  var power = size < 32 ? 0 : size < 8192 ? 1 : size < 536870912 ? 2 : 3;
  var value = 2 * size + binary, i = 1 << power, bytes = new Uint8Array(i);
  for (; i--; value = Math.floor(value / 256)) bytes[i] = value; // which keeps the last eight bits
  bytes[0] |= power << 6;
  return bytes;
}

/** Frames as the bytes that go on the stream. */
export function encode(frames) {
  var pieces = [], total = 0, i, isText, payload, head;
  for (i = 0; i < frames.length; i++) {
    isText = typeof frames[i] === "string";
    payload = isText ? new TextEncoder().encode(frames[i]) : new Uint8Array(frames[i]);
    head = headOf(payload.length, isText ? 0 : 1);
    pieces.push(head, payload);
    total += head.length + payload.length;
  }
  return joined(pieces, total);
}

/**
 * A function that is given the stream piece by piece, as Uint8Arrays, and returns the frames that each completes. It
 * throws the close code of a broken protocol: 1009 for a frame of more than `most` bytes, as soon as its head says so, and
 * 1007 for text that is not UTF-8.
 */
export function decoder(most) {
  var pieces = [], have = 0, need = 1; // bytes that are here, and that complete the next head or frame
  return function (piece) {
    var frames = [], at = 0, bytes, length, value, i;
    pieces.push(piece);
    have += piece.length;
    if (have < need) return frames;
    bytes = joined(pieces, have);
    for (;;) {
      need = 1;
      if (at === have) break;
      need = length = 1 << (bytes[at] >> 6);
      if (at + need > have) break;
      value = bytes[at] & 63;
      for (i = 1; i < length; i++) value = value * 256 + bytes[at + i];
      if (value > 2 * most + 1) throw 1009;
      need += Math.floor(value / 2);
      if (at + need > have) break;
      piece = bytes.subarray(at + length, at + need);
      frames.push(value % 2 ? piece.slice().buffer : text(piece));
      at += need;
    }
    pieces = [bytes.subarray(at)];
    have -= at;
    return frames;
  };
}

function joined(pieces, size) {
  var bytes, at = 0, i;
  if (pieces.length === 1) return pieces[0];
  bytes = new Uint8Array(size);
  for (i = 0; i < pieces.length; i++) {
    bytes.set(pieces[i], at);
    at += pieces[i].length;
  }
  return bytes;
}

function text(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw 1007;
  }
}
