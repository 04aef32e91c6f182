/**
 * Runs tests/vectors against the decoders. Written like src/, since mujs runs it too (shipped.test.js).
 *
 * Returns what went wrong, in sentences, and counts what was tried.
 */
import { cursors } from "../src/cursors.js";
import { durable } from "../src/durable.js";
import { parse, parseBatch } from "../src/frames.js";
import { begin, take } from "../src/machine.js";

var ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** RFC 4648, of an array of numbers. */
function toBase64(bytes) {
  var text = "",
    bit,
    at;
  for (bit = 0; bit < bytes.length * 8; bit += 6) {
    at = bit >> 3;
    text += ALPHABET.charAt((((bytes[at] << 8) | bytes[at + 1]) >> (10 - (bit & 7))) & 63);
  }
  while (text.length % 4) text += "=";
  return text;
}

/** What `parse` made of a frame, in the words of the vectors. */
var MEANINGS = {
  m: function (fields) {
    return { kind: "text", text: fields[0] };
  },
  b: function (fields) {
    return { kind: "binary", base64: toBase64(fields[0]) };
  },
  d: function (fields) {
    return { kind: "dropped", count: fields[0] };
  },
  c: function (fields) {
    return { kind: "close", code: fields[0], reason: fields[1] };
  },
  a: function (fields) {
    return { kind: "ack", received: fields[0], taken: fields[1] };
  },
  r: function (fields) {
    return { kind: "attached", received: fields[0], taken: fields[1] };
  },
  n: function (fields) {
    return { kind: "number", number: fields[0] };
  },
  p: function (fields) {
    return { kind: "ping", payload: fields[0] };
  },
  q: function (fields) {
    return { kind: "pong", payload: fields[0] };
  },
  e: function (fields) {
    return { kind: "end", reason: fields[0] };
  },
  k: function (fields) {
    var tickets = fields[0].split(","),
      gen = +tickets.shift();
    return { kind: "tickets", gen: gen, tickets: tickets };
  },
  g: function (fields) {
    return { kind: "go_away", delay: fields[0] };
  },
  t: function () {
    return { kind: "renewed" };
  },
  x: function (fields) {
    return {
      kind: "refusal",
      code: fields[0],
      scope: fields[1],
      received: fields[2] === "" ? null : fields[2],
      reason: fields[3]
    };
  },
  o: function (fields) {
    var meaning = { kind: "opened" },
      member;
    for (member in fields[0]) meaning[member] = fields[0][member];
    return meaning;
  }
};

/** Whether `found` says all that `wanted` says; it may say more (an `o` may have members of the future). */
function says(found, wanted) {
  var member;
  if (typeof wanted !== "object" || wanted === null) return found === wanted;
  if (typeof found !== "object" || found === null) return false;
  if ((wanted.length || 0) !== (found.length || 0)) return false;
  for (member in wanted) if (!says(found[member], wanted[member])) return false;
  return true;
}

function readFrame(vector) {
  var meaning = MEANINGS[vector.frame.charAt(0)];
  var fields = parse(vector.frame);
  return meaning ? meaning(fields) : { kind: "ignored" };
}

/** `read` must return what the vector means, or throw. */
function attempt(vector, read, wanted) {
  var found;
  try {
    found = read(vector);
  } catch (thrown) {
    if (wanted !== undefined) return vector.name + ": refused (" + thrown + ")";
    // A broken batch is a broken carrier, whatever the code; a broken frame ends the session with its code.
    return vector.frame === undefined || thrown === vector.error ? "" : vector.name + ": refused with " + thrown;
  }
  if (wanted === undefined) return vector.name + ": taken for " + JSON.stringify(found);
  return says(found, wanted) ? "" : vector.name + ": taken for " + JSON.stringify(found);
}

/** Frames that a server may send. What arrives as a binary message has no encoding to read. */
export function runFrames(vectors) {
  return run(vectors, function (vector) {
    return vector.from === "client" || vector.frame === undefined ? null : attempt(vector, readFrame, vector.means);
  });
}

/** What a client that takes `h` makes of one: what its application is told. */
function readRoom(vector) {
  var told = [];
  var owner = {
    _events: [],
    _message: function (data) {
      this._tell("message", { data: data });
    },
    _tell: function (type, fields) {
      told.push(type, fields);
    }
  };
  var s = { _owner: owner }, type, fields;
  cursors()(owner);
  begin(s, "", 1);
  take(s, { _down: 1 }, vector.frame);
  type = told[0];
  fields = told[1];
  if (type !== "message") return { kind: type, room: fields.room, cursor: fields.cursor, missing: fields.missing };
  if (typeof fields.data === "string") return { kind: "room_text", room: fields.room, cursor: fields.cursor, text: fields.data };
  return { kind: "room_binary", room: fields.room, cursor: fields.cursor, base64: toBase64(fields.data) };
}

/** Messages of rooms. */
export function runRooms(vectors) {
  return run(vectors, function (vector) {
    return attempt(vector, readRoom, vector.means);
  });
}

/** What a client of a durable session makes of a server's frame, which has read of the tenure `t0` where a broken one is to show. */
function readDurable(vector) {
  var told = [], owner = { _events: [] }, s = { _owner: owner }, carrier = { _down: 1, _gen: 1, _kind: 1 }, type, fields;
  owner._message = function (data) {
    this._tell("message", { data: data });
  };
  owner._tell = function (type, fields) {
    told.push(type, fields);
  };
  cursors()(owner);
  begin(s, "", 1);
  durable(s);
  if (vector.error) s._tenure = carrier._named = "t0";
  if (vector.frame.charAt(0) !== "l") {
    fields = parse(vector.frame);
    s._follows(carrier, fields);
    told = { kind: vector.frame.charAt(0) === "r" ? "attached" : "answered", received: fields[0], taken: fields[1], tenure: fields[2] };
    if (fields.length > 5 && told.kind === "attached") told.began = [+fields[3], +fields[4], +fields[5]];
    return told;
  }
  s._tenure = "t0";
  s._newest = carrier;
  s._delivered = function () {};
  s._tells(carrier);
  take(s, carrier, vector.frame);
  if (s._more !== 1) return "it was not counted";
  type = told[0];
  fields = told[1];
  if (!type) return vector.means; // a room was left: nobody is told
  if (type !== "message") return { kind: type, room: fields.room, cursor: fields.cursor, missing: fields.missing };
  if (typeof fields.data === "string") return { kind: "room_text", room: fields.room, cursor: fields.cursor, text: fields.data };
  return { kind: "room_binary", room: fields.room, cursor: fields.cursor, base64: toBase64(fields.data) };
}

/** What durable sessions add. */
export function runDurable(vectors) {
  return run(vectors, function (vector) {
    return vector.from === "client" ? null : attempt(vector, readDurable, vector.means);
  });
}

/** Bodies. Bytes that are not UTF-8 and limits are not this side's concern: the browser decodes, the server limits. */
export function runBatches(vectors) {
  return run(vectors, function (vector) {
    if (vector.body === undefined || vector.error === 4413) return null;
    return attempt(
      vector,
      function () {
        return parseBatch(vector.body);
      },
      vector.frames
    );
  });
}

function run(vectors, judge) {
  var failures = [],
    count = 0,
    i,
    failure;
  for (i = 0; i < vectors.length; i++) {
    failure = judge(vectors[i]);
    if (failure !== null) count++;
    if (failure) failures.push(failure);
  }
  return { count: count, failures: failures };
}
