/**
 * How far each room with a history was heard (docs/protocol.md §3.5), so that another session goes on there: the next one,
 * after a session that was lost, or that of the page when it is loaded anew. For those who ask for it: options.cursors.
 */
import { scalars, toJson } from "./frames.js";
import { isNext } from "./machine.js";
import { isCursor, roomFrame } from "./rooms.js";

var MOST = 64; // rooms, those that were heard of last,
var MOST_SAID = 24576; // and characters of JSON in an open

/** For options.cursors. `known`: `session.cursors` of an earlier session, if there was one: room → cursor. */
export function cursors(known) {
  // A text that is still to be parsed, a list, or the session: then options.cursors is this function, not called.
  if (known && (known.concat || known._put)) throw new TypeError("Realtime: options.cursors takes cursors({ room: cursor })");
  return function (owner) {
    var rooms = [], sizes = [], total = 2; // names, the one that was heard of last at the end, and what each takes in an open
    var dispatch = owner.dispatchEvent, tell = owner._tell, place, room;

    function forget(at) {
      delete owner.cursors[rooms.splice(at, 1)[0]];
      total -= sizes.splice(at, 1)[0];
    }

    function heard(room, cursor) {
      var size = toJson(room).length + cursor.length + 4, i;
      for (i = rooms.length; i--; ) if (rooms[i] === room) forget(i);
      owner.cursors[room] = cursor;
      rooms.push(room);
      sizes.push(size);
      total += size;
      while (rooms.length > MOST || total > MOST_SAID) forget(0);
      owner._hasCursors = true;
    }

    // It has nothing but its own: a room may have any name.
    owner.cursors = Object.create ? Object.create(null) : {};
    for (room in known) {
      if (!{}.hasOwnProperty.call(known, room)) continue; // somebody has added to all objects
      if (typeof known[room] !== "string" || !isCursor(known[room]) || room !== scalars(room)) {
        throw new TypeError("Realtime: no cursor of the room " + room + ": " + known[room]);
      }
      heard(room, known[room]);
    }

    /** An `h` has come. What it says of a room is told, as an event behind those before. */
    owner._hear = function (s, carrier, text) {
      var said = roomFrame(text);
      if (isNext(s, carrier, said._size) && !s._closing) owner._place(said);
    };

    owner._place = function (said) {
      if (said._type) owner._tell(said._type, said._fields);
      else {
        place = said._fields;
        owner._message(said._data);
      }
    };

    owner._tell = function (type, fields) {
      if (place) {
        fields.room = place.room;
        fields.cursor = place.cursor;
        place = null;
      }
      tell.call(owner, type, fields);
    };

    /** What is told now counts as heard. */
    owner.dispatchEvent = function (event) {
      if (event === owner._events[0] && event.cursor) heard(event.room, event.cursor);
      return dispatch.call(owner, event);
    };
  };
}
