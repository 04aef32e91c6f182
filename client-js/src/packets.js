/**
 * Socket.IO's packets, version 5, in the messages of a session (docs/protocol.md §11): read strictly, within bounds, and
 * written with what is binary taken out of them.
 *
 * Pure. What is no packet throws the code that a session ends with; what can't be written, a TypeError.
 */
import { need } from "./frames.js";

export var CONNECT = 0;
export var DISCONNECT = 1;
export var EVENT = 2;
export var ACK = 3;
var BINARY = 3; // what is added to the types of those that have attachments

var MOST_ATTACHMENTS = 64; // of one event,
var MOST_SIZE = 4194304; // and the characters and bytes of all of it
var MOST_DEPTH = 64; // of arrays and objects in each other
// Attachments, if and only if the type may have some; the namespace; the id; the JSON.
var HEAD = /^(?:[0-4]|[56](\d{1,10})-)(?:(\/[^,?#]*)(?:,|$))?(\d{0,16})([\s\S]*)/;
// What the ends tell their applications: no peer sends it.
var RESERVED = /^(connect|connect_error|disconnect(ing)?|(new|remove)Listener)$/;

/** Throws the TypeError of what an application may not ask for. */
export function refuse(why) {
  throw TypeError("Realtime: " + why);
}

/** The value with attachments in their places, if there are some. */
function unpack(value, parts, depth) {
  need(value !== +value || 1 / value); // what no double holds is infinite here
  if (value && typeof value === "object") {
    need(depth);
    if (parts[0] && value._placeholder === true) need(value.num === +value.num && (value = parts[value.num]));
    // What somebody has added to all arrays, or all objects, is in `parts`, too, and no member of this one.
    else for (var key in value) if (value[key] !== parts[key]) value[key] = unpack(value[key], parts, depth - 1);
  }
  return value;
}

/**
 * What these messages say, a packet and what has come of its attachments: [kind, id ("": none), data, namespace]. Nothing as long
 * as some are missing. What is no packet throws.
 */
export function read(messages) {
  var found = HEAD.exec(messages[0]), last = messages.length - 1, size = 0, i, due, namespace, kind, id, data, name;
  need(found && (typeof messages[last] === "string") === !last && (namespace = found[2] || "/").length <= 256);
  for (i = messages.length; i--; ) size += messages[i].byteLength || messages[i].length || 0; // numbers, where there is no ArrayBuffer
  due = found[1] || 0;
  if (due > MOST_ATTACHMENTS || (due && size > MOST_SIZE)) throw 1009;
  if (last < due) return;
  kind = messages[0].charAt(0) - (due ? BINARY : 0);
  id = found[3];
  try {
    if (found[4]) data = unpack(JSON.parse(found[4]), messages.slice(1), MOST_DEPTH);
  } catch (error) {
    need();
  }
  need(
    kind & EVENT
      ? data instanceof Array &&
          !(id > 9007199254740991) &&
          (kind < ACK
            ? (typeof (name = data[0]) === "string" || name === Math.floor(name)) && !RESERVED.test(name)
            : id)
      : !id && (kind !== DISCONNECT || !found[4])
  );
  if (kind === EVENT) data[0] += "";
  return [kind, id, data, namespace];
}

/** The messages of a packet, its text and what was binary in `data`, as it is now. `bytes(value)`: a copy of what is binary. */
export function write(bytes, type, namespace, data, id) {
  var messages = [""];
  var text = data
    ? JSON.stringify(data, function (key, value) {
        var raw = this[key], copy = bytes(raw); // before a toJSON: Node's Buffers have one, and old Prototype.js gives one to arrays
        return copy ? { _placeholder: true, num: messages.push(copy) - 2 } : raw instanceof Array ? raw : value;
      })
    : "";
  messages[0] = (messages[1] ? type + BINARY + (messages.length - 1 + "-") : type) + (namespace === "/" ? "" : namespace + ",") + (id || "") + text;
  try {
    read(messages); // what we would not take is not sent
  } catch (code) {
    refuse("no packet: " + messages[0].slice(0, 99));
  }
  return messages;
}
