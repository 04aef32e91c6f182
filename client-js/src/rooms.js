/** What a room has sent, as its frame says it (docs/protocol.md §3.5, §13.4). */
import { fromBase64, need, number } from "./frames.js";

// A room's name, its commas and per cents escaped, and a cursor; and behind it a message, or how many are missing.
var FRAME = /^([^,]*),([\w.-]+)(?:,([mbd])([\s\S]*))?$/;

var MOST = 128; // characters of a cursor

export function isCursor(text) {
  return text.length <= MOST && /^[\w.-]+$/.test(text);
}

/** Its room, escaped, its event's type and fields, and the size of the message in it: its `data`. */
export function roomFrame(text) {
  var found = FRAME.exec(text), type, data, fields;
  need(found && found[2].length <= MOST && !/%(?!25|2C)/.test(found[1]));
  fields = { room: decodeURIComponent(found[1]), cursor: found[2] };
  need(fields.room.replace(/[\ud800-\udbff]/g, "").length <= 256); // characters: no half stands alone
  type = found[3];
  data = found[4];
  if (type === "b") data = fromBase64(data);
  if (type === "d") fields.missing = number(data);
  return !type || type === "d"
    ? { _room: found[1], _type: type ? "gap" : "position", _fields: fields, _size: 0 }
    : { _room: found[1], _fields: fields, _data: data, _size: data.length };
}
