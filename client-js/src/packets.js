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
export var CONNECT_ERROR = 4;
var BINARY = 3; // what is added to the types of those that have attachments

var MOST_ATTACHMENTS = 64; // of one event,
var MOST_SIZE = 4194304; // and the characters and bytes of all of it
var MOST_DEPTH = 64; // of arrays and objects in each other
var HEAD = /^([0-6])(?:(\d{1,10})-)?(?:(\/[^,?#]*)(?:,|$))?(\d{1,16})?/;
// What the ends tell their applications: no peer sends it.
var RESERVED = /^(connect(_error)?|disconnect(ing)?|(new|remove)Listener)$/;

/** Whether a namespace can be called so. */
export function isNamespace(name) {
  return /^\/[^,?#]*$/.test(name) && name.length <= 256;
}

/** Throws the TypeError of what an application may not ask for. */
export function refuse(why) {
  throw new TypeError("Realtime: " + why);
}

function kindOf(value) {
  return {}.toString.call(value);
}

function isArray(value) {
  return /Array]/.test(kindOf(value));
}

/** Whether not too much lies in each other; also not of what has brackets that don't close, and is no JSON. */
function isShallow(json) {
  var rest = json.replace(/\\[\s\S]/g, "").replace(/"[^"]*"|[^"\[\]{}]+/g, ""), depth;
  for (depth = MOST_DEPTH; rest && depth--; ) rest = rest.replace(/\[\]|\{\}/g, "");
  return !rest;
}

/**
 * Takes the next message. Returns the packet that it completes: {_kind, _name, _id (false: none), _received}; or nothing,
 * as long as attachments are missing. What waits for them is `reader._current`.
 */
export function feed(reader, message) {
  var packet = reader._current, found, type;
  if (typeof message === "string") {
    found = HEAD.exec(message);
    need(found && !packet && (!found[3] || isNamespace(found[3])));
    type = +found[1];
    // It counts its attachments if, and only if, it may have some.
    need((found[2] ? type > CONNECT_ERROR : type <= CONNECT_ERROR) && (found[4] || 0) <= 9007199254740991);
    packet = {
      _kind: type > CONNECT_ERROR ? type - BINARY : type,
      _name: found[3] || "/",
      _id: !!found[4] && +found[4],
      _text: message.slice(found[0].length),
      _brings: [],
      _due: +found[2] || 0,
      _size: message.length
    };
  } else {
    need(packet);
    packet._brings.push(message);
    packet._size += message.byteLength || message.length || 0; // numbers, where there is no ArrayBuffer
  }
  if (packet._due > MOST_ATTACHMENTS || (packet._due && packet._size > MOST_SIZE)) throw 1009;
  reader._current = packet._brings.length < packet._due && packet;
  if (!reader._current) return read(packet);
}

function read(packet) {
  var type = packet._kind, json = packet._text, data, name;
  if (json) {
    need(isShallow(json));
    try {
      data = JSON.parse(json, function (key, value) {
        if (value && value._placeholder === true && packet._due) need(value.num === +value.num && (value = packet._brings[value.num]));
        need(value !== Infinity && value !== -Infinity); // no double holds it
        return value;
      });
    } catch (error) {
      need();
    }
  }
  if (type === EVENT) {
    need(isArray(data));
    name = data[0];
    need((typeof name === "string" || (name === +name && !(name % 1))) && !RESERVED.test(name));
    data[0] = name + "";
  } else if (type === ACK) need(isArray(data) && packet._id !== false);
  else need(packet._id === false && (data == null || type > ACK || (!type && /Object]/.test(kindOf(data)))));
  packet._received = data;
  return packet;
}

/** The messages of a packet, its text and what was binary in `data`, as it is now; and how many bytes they take at most. `id`: no number for none. */
export function write(type, namespace, data, id) {
  var messages = [""], text = "", count, size = 0;
  if (type === EVENT && RESERVED.test(data[0])) refuse("no event: " + data[0]);
  if (data != null) {
    text = JSON.stringify(data, function (key, value) {
      var raw = this[key], bytes; // before a toJSON: Node's Buffers have one, and old Prototype.js gives one to arrays
      if (raw && raw.byteLength >= 0 && /ArrayBuffer]/.test(kindOf(raw.buffer || raw))) {
        bytes = new Uint8Array(new Uint8Array(raw.buffer || raw, raw.byteOffset || 0, raw.byteLength));
        size += bytes.length;
        return { _placeholder: true, num: messages.push(bytes) - 2 };
      }
      return isArray(raw) ? raw : value;
    });
    if (!isShallow(text)) refuse("too deep");
  }
  count = messages.length - 1;
  if (count && type < EVENT) refuse("binary auth");
  messages[0] = (count ? "" + (type + BINARY) + count + "-" : type) + (namespace === "/" ? "" : namespace + ",") + (id === +id ? id : "") + text;
  messages._size = size + messages[0].length * 3;
  return messages;
}
