/**
 * Sessions that outlive their server's process (docs/protocol.md §13): whose answers count, and how far rooms were heard.
 * Part of what has all transports; whoever chooses, gives it (options.durable).
 */
import { need, number } from "./frames.js";
import { HELD, PROBE } from "./machine.js";
import { roomFrame } from "./rooms.js";

var MOST = 64; // rooms with a cursor

export function durable(s) {
  var heard = {}, count = 0; // a comma and a room, escaped → its cursor
  var left = []; // of these, the rooms that this session is not in, those it left first in front
  var ear, told; // the carrier on which rooms are heard, and whether it knows the cursors
  var frames = 0; // that came of rooms on it, as long as it is the newest; s._more of them were not said
  // _tenure: the owner's that was read of last; _moved: the answer to a send was another owner's, and no carrier has
  // attached to that

  /** Whether `o`, `r` or the answer to a send counts, which says these fields. Throws where we are ahead of the server. */
  s._follows = function (carrier, fields) {
    var tenure = fields[2], named = carrier._named, newest = s._newest;
    need(/^[\w.-]{1,64}$/.test(tenure || ""));
    if (!carrier._gen) {
      if (named === s._tenure && tenure !== named && !s._moved) {
        s._moved = true;
        // One that has not attached finds out by itself.
        if (newest && (newest._attached || newest._kind === HELD)) newest.end("another owner");
      }
      return named === s._tenure && tenure === named;
    }
    if (tenure !== s._tenure) {
      if (named !== s._tenure || carrier._role === PROBE) {
        carrier._last = "recycled"; // an owner that we have gone beyond, or one that a probe has found
        carrier.end("");
        return false;
      }
      if (named && (fields.length < 6 || s._received > number(fields[3]) || s._acked > number(fields[4]) || s._taken > number(fields[5]))) {
        carrier._attached = true;
        throw 4414;
      }
      s._tenure = tenure; // older carriers are let go of whenever another has attached
    }
    s._moved = false;
    return true;
  };

  /** An `l` has come. */
  s._hears = function (carrier, text) {
    var isLeft = text.indexOf(",") < 0, found = roomFrame(isLeft ? text + ",-" : text), key = "," + found._room, i;
    if (carrier !== ear) return;
    carrier._brings = true; // of a poll: the next one need not wait
    if (carrier === s._newest && carrier._kind < HELD) {
      if (s._received === s._announced && !s._more) s._newsSince = carrier._heard;
      s._more++;
      frames++;
      s._delivered();
      s._bytes += found._size;
    }
    for (i = left.length; i-- && left[i] !== key; );
    if (isLeft) {
      if (i < 0 && heard[key]) left.push(key); // what is known may be said again
      return;
    }
    if (i >= 0) left.splice(i, 1);
    if (!heard[key]) count++;
    heard[key] = found._fields.cursor;
    if (count > MOST && left.length) {
      delete heard[left.shift()];
      count--;
    }
    need(count <= MOST);
    if (s._closing) return;
    if (s._owner._place) s._owner._place(found);
    else if (!found._type) s._owner._message(found._data);
    else if (found._type === "gap") s._owner._tell("gap", found._fields);
  };

  /** What a carrier is to be told of rooms: the cursors, once, and how much was taken when acks go (`due`). */
  s._tells = function (carrier, due) {
    var said = [], text = "l" + carrier._gen, key;
    if (ear !== carrier || !told) {
      if (ear !== carrier) s._more = frames = 0;
      ear = carrier;
      told = true;
      for (key in heard) if (key.charAt(0) === ",") text += key + "," + heard[key]; // somebody may have added to all objects
      said.push(text);
    }
    if (due && s._more) {
      said.push("f" + carrier._gen + "," + frames);
      s._more = 0;
    }
    return said;
  };

  /** A send was lost: what it said is told again. */
  s._untold = function () {
    told = ear && ear._kind >= HELD;
    if (frames) s._more = s._more || 1;
  };
}
