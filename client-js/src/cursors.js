/**
 * How far each room with a history was heard (docs/protocol.md §3.5), so that another session goes on there: the next one,
 * after a session that was lost, or that of the page when it is loaded anew. For those who ask for it: options.cursors.
 */
import { fromBase64, need, number, scalars, toJson } from "./frames.js";
import { isNext } from "./machine.js";

var MOST = 64; // rooms, those that were heard of last
var MOST_SAID = 24576; // characters of JSON in an open
var CURSOR = /^[\w.-]{1,128}$/;
// A room's name, its commas and per cents escaped, and a cursor; and behind it a message, or how many are missing.
var FRAME = /^((?:[^%,]|%25|%2C)*),([\w.-]{1,128})(?:,([mbd])([\s\S]*))?$/;

/** An object that has nothing but its own: a room may have any name. */
function bare() {
  return Object.create ? Object.create(null) : {};
}

/** For options.cursors. `known`: `session.cursors` of an earlier session, if there was one: room → cursor. */
export function cursors(known) {
  return function (owner) {
    var rooms = [], room; // their names, the one that was heard of last at the end
    var dispatch = owner.dispatchEvent;

    function heard(room, cursor) {
      for (var i = rooms.length; i--; ) if (rooms[i] === room) rooms.splice(i, 1);
      delete owner.cursors[room]; // it comes last
      owner.cursors[room] = cursor;
      if (rooms.push(room) > MOST) delete owner.cursors[rooms.shift()];
    }

    owner.cursors = bare();
    for (room in known) {
      if (!{}.hasOwnProperty.call(known, room)) continue; // somebody has added to all objects
      if (room !== scalars(room) || !CURSOR.test(known[room])) throw new TypeError("Realtime: no cursor of a room: " + room);
      heard(room, known[room]);
    }

    /** What an open says of them, into its `fields`: as many of the last as find room there. Returns whether there are any. */
    owner._cursorsOf = function (fields) {
      var size = 2, i, room;
      fields.rooms = bare();
      for (i = rooms.length; i--; ) {
        room = rooms[i];
        size += toJson(room + owner.cursors[room]).length + 4;
        if (size > MOST_SAID) break;
        fields.rooms[room] = owner.cursors[room];
      }
      return rooms.length > 0;
    };

    /** An `h` has come. What it says of a room is told as an event, one after the other, and counts when that is told. */
    owner._hear = function (s, carrier, text, now) {
      var found = FRAME.exec(text), type, data, fields, room;
      need(found);
      type = found[3];
      data = found[4];
      room = found[1].replace(/%2C/g, ",").replace(/%25/g, "%");
      need(room.replace(/[\ud800-\udbff]/g, "").length <= 256); // there are no lone halves
      if (type === "b") data = fromBase64(data);
      fields = { room: room, cursor: found[2] };
      if (type === "d") {
        fields.missing = number(data);
        data = "";
      }
      if (!isNext(s, carrier, type ? data.length : 0, now) || s._closing) return;
      if (type && type !== "d") owner._message(data, fields);
      else owner._tell(type ? "gap" : "position", fields);
    };

    owner.dispatchEvent = function (event) {
      if (event === owner._events[0] && event.cursor) heard(event.room, event.cursor);
      return dispatch.call(owner, event);
    };
  };
}
