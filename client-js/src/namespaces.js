/**
 * Events over a session: names, arguments, answers, namespaces (docs/events.md). A module of its own, for those who want it. It
 * hears of a session what every page may hear, and sends several messages as one.
 */
import { ACK, CONNECT, DISCONNECT, EVENT, read, refuse, write } from "./packets.js";
import { need } from "./frames.js";

var PATIENCE = 30000; // milliseconds for the attachments of an event
var MOST = 4096; // calls that wait for their answers, and events that wait for their namespaces, of one session

/** What answers a call that failed. Thrown by a listener, it is the answer to the server's call. */
export function EventError(message, code, data) {
  this.message = message;
  this.code = code || "error";
  this.data = data;
  this.stack = "EventError: " + message;
}
EventError.prototype = new Error();

function rethrow(error) {
  setTimeout(function () {
    throw error;
  }, 0);
}

/** What an ack says of what was thrown; the page is told of what is not meant for one. */
function problem(error) {
  if (!(error instanceof EventError)) {
    rethrow(error);
    error = new EventError("the handler failed", "failed");
  }
  return { _error: error.code, message: error.message, data: error.data };
}

/** Calls `see` with each that is in the list now. */
function each(list, see) {
  for (var all = list.slice(0), i = 0; i < all.length; i++) see(all[i]);
}

/** The main namespace of a session, which is asked for now, with {auth, timeout}. */
export function events(session, options) {
  var members = {}, // by their names behind a "$"
    messages = [], // of the packet that is coming
    late, // a timer for attachments
    end;

  /** A namespace of the session. It is asked for, unless this client is in it, or has asked. */
  function of(name, options) {
    var member = members["$" + name] || make(name), k;
    for (k in options) member[k] = options[k];
    member._asks();
    return member;
  }

  function make(name) {
    var kept = []; // what waits for this client to be in, which has a _size, and calls that wait for an answer, which have an _id; also what has ended
    var calls = 0;
    var owed = 0; // how many answers to come
    var over = true; // an error, when this client is not to be in
    var member = {
      namespace: name,
      timeout: 5000,
      of: of,
      on: session.addEventListener,
      off: session.removeEventListener,
      _listeners: [],

      once: function (event, listener) {
        member.on(event, listener, { once: true });
      },

      /** Sends an event, or keeps it until its namespace is there. A function as the last argument is given the answer: (error, answer). */
      emit: function () {
        var args = [].slice.call(arguments), done = typeof args[args.length - 1] === "function" && args.pop();
        var id = done && ++calls, one = pack(EVENT, args, id), all = kept, size = 1, timer;
        if (over) throw over;
        kept = [];
        each(all, function (other) {
          size += other._size;
          if (other._size || other._id) kept.push(other);
        });
        if (kept.length >= MOST) refuse("too many wait");
        one._size = session._put(one, isIn() ? 0 : size);
        one._id = id;
        one._ends = function (error, answer) {
          var asked = one._id;
          clearTimeout(timer);
          one._id = one._size = 0;
          try {
            if (asked) done(error, answer);
            else if (!(error instanceof EventError)) throw error;
          } catch (thrown) {
            rethrow(thrown);
          }
        };
        kept.push(one);
        if (done && member.timeout < 2e9) {
          timer = setTimeout(function () {
            one._ends(new EventError("no answer in time", "timeout"));
          }, member.timeout);
        }
      },

      /** The same, and promises the answer. */
      call: function () {
        var args = [].slice.call(arguments);
        return new Promise(function (resolve, reject) {
          args.push(function (error, answer) {
            if (error) reject(error);
            else resolve(answer);
          });
          member.emit.apply(0, args);
        });
      },

      /** Leaves the namespace; the session goes on. */
      disconnect: function () {
        if (over) return;
        if (isIn() || !member.id) session._put(pack(DISCONNECT));
        leave("io client disconnect");
      },

      _asks: function () {
        if (!over) return;
        if (end) throw end;
        ask();
      },

      _takes: function (kind, id, data) {
        var error = null, answer;
        if (!(kind % 4)) {
          need(data && (kind || (data.sid && typeof data.sid === "string")));
          // Left before it was let in, and perhaps asked for again: another answer is to come.
          if (!owed || --owed || over) return;
          if (kind) {
            leave("", (error = new EventError(data.message, "refused", data.data)));
            tell(["connect_error", error]);
          } else {
            member.id = data.sid;
            member.connected = true;
            each(kept, function (one) {
              try {
                if (one._size) one._size = session._put(one);
              } catch (error) {
                one._ends(error);
              }
            });
            tell(["connect"]);
          }
        } else if (!member.id) return; // it was under way when this client left
        else if (kind === EVENT) hear(id, data);
        else if (kind === ACK) {
          answer = data.length > 1 ? data : data[0];
          if (answer && typeof answer._error === "string") {
            error = new EventError(answer.message, answer._error, answer.data);
            answer = undefined;
          }
          each(kept, function (one) {
            if (one._id === +id) one._ends(error, answer);
          });
        } else leave("io server disconnect");
      }
    };
    session.addEventListener("close", function (event) {
      var error = new EventError("closed with " + event.code + " " + event.reason, "closed", event.code);
      messages = [];
      late = clearTimeout(late);
      owed = 0;
      if (!event.reopening) end = error;
      leave("transport close", error, event.reopening);
    });
    leave();
    return (members["$" + name] = member);

    function pack(type, data, id) {
      return write(session._bytes, type, name, data, id);
    }

    function ask() {
      session._put(pack(CONNECT, member.auth));
      over = null;
      owed++;
    }

    /** Whether its session has not ended, either: listeners of that may be called before ours is. */
    function isIn() {
      return member.id && session.readyState < 3;
    }

    /** This client is in the namespace no more. Nothing comes of what has been sent, or, if it is not to be in, of what waits. */
    function leave(why, error, reopening) {
      var was = member.id;
      error = error || new EventError(why, "closed");
      over = over || (!reopening && error);
      member.connected = false;
      member.id = "";
      if (!over) ask(); // what was not sent yet goes to the next session
      each(kept, function (one) {
        if (over || !one._size) one._ends(error);
      });
      if (was) tell(["disconnect", why]);
    }

    /**
     * Tells whoever listens to the event, or to "*": [the answer, the first that is one]; nothing where nobody does. What is thrown stops nobody
     * else; where one is `asked`, it answers.
     */
    function tell(data, asked, event) {
      var told;
      event = event || data[0];
      session._run.call(member, event, function (listener) {
        var answer;
        try {
          answer = listener.apply(member, event === "*" ? data : data.slice(1));
        } catch (error) {
          if (!asked) throw error;
          answer = problem(error);
        }
        if (!told || told[0] === undefined) told = [answer];
      });
      return told;
    }

    function hear(id, data) {
      var sid = member.id;
      function reply(value, last) {
        try {
          if (value && value.then) value.then(reply, failed);
          // If it has left since, whoever asked knows.
          else if (id && member.id === sid && isIn()) session._put(pack(ACK, value === undefined ? [] : [value], id));
        } catch (error) {
          if (last) throw error;
          failed(error);
        }
      }
      function failed(error) {
        reply(problem(error), true);
      }
      reply((tell(data, 1) || tell(data, 1, "*") || [problem(new EventError("no handler of " + data[0], "unknown"))])[0]);
    }
  }

  function broken(code) {
    session.close(3000 + code, "no packet"); // a page can't close by the code itself
  }

  if (!session._of) {
    session._of = of;
    session.binaryType = "arraybuffer";
    session.addEventListener("message", function (event) {
      var packet, member;
      try {
        messages.push(event.data);
        if ((packet = read(messages))) {
          messages = [];
          late = clearTimeout(late);
          member = members["$" + packet[0]];
          if (member) member._takes(packet[1], packet[2], packet[3]); // else nobody has asked for it
        } else if (!late) {
          late = setTimeout(function () {
            broken(1002);
          }, PATIENCE);
        }
      } catch (code) {
        if (code !== +code) throw code;
        broken(code);
      }
    });
  }
  return session._of("/", options);
}
