/**
 * Events over a session: names, arguments, answers, namespaces (docs/events.md). A module of its own, for those who want it. It
 * hears of a session what every page may hear, and sends several messages as one.
 */
import { ACK, CONNECT, DISCONNECT, EVENT, read, refuse, write } from "./packets.js";
import { need } from "./frames.js";

var PATIENCE = 30000; // milliseconds for the attachments of an event
// What waits for this client to be in, which has a _size, and calls that wait for an answer, which have an _id, are kept among the listeners:
var KEPT = 0; // to what is no name of an event
var MOST = 4096; // calls that wait for their answers, and events that wait for their namespaces, of one session

/** What answers a call that failed. Thrown by a listener, it is the answer to the server's call. */
export function EventError(message, code, data) {
  this.message = message;
  this.code = code || "error";
  this.data = data;
  this.stack = "EventError: " + message;
}
EventError.prototype = new Error();

/** What an ack says of what was thrown; the page is told of what is not meant for one. */
function problem(error) {
  if (!(error instanceof EventError)) {
    setTimeout(function () {
      throw error;
    }, 0);
    return { _error: "failed", message: "the handler failed" };
  }
  return { _error: error.code, message: error.message, data: error.data };
}

/** The main namespace of a session, which is asked for now, with {auth, timeout}. */
export function events(session, options) {
  var members = {}, // by their names behind a "$"
    messages = [], // of the packet that is coming
    late; // a timer for attachments

  /** A namespace of the session. It is asked for, unless this client is in it, or has asked. */
  function of(name, options) {
    var member = members["$" + name], k, value;
    var calls = 0;
    var owed = 0; // how many answers to come
    var over; // an error, when this client is not to be in
    if (!member) {
      member = members["$" + name] = {
        namespace: name,
        timeout: 5000,
        of: of,
        on: session.addEventListener,
        off: session.removeEventListener,
        _listeners: [],

        once: function (event, listener) {
          member.on(event, listener, { once: 1 });
        },

        /** Sends an event, or keeps it until its namespace is there. A function as the last argument is given the answer: (error, answer). */
        emit: function () {
          var args = [].slice.call(arguments), done = typeof args[args.length - 1] === "function" && args.pop();
          var one = pack(EVENT, args, done && ++calls), count = 0, size = 1, timer;
          if (over) throw over;
          run(KEPT, function (other) {
            size += other._size;
            count++;
          });
          if (count >= MOST) refuse("too many wait");
          one._size = session._put(one, member.id && session.readyState < 3 ? 0 : size);
          one._id = done && calls;
          one._ends = function (error, answer) {
            member.off(KEPT, one);
            clearTimeout(timer);
            if (done) done(error, answer);
          };
          if (one._size || done) member.on(KEPT, one);
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
          if (!member.id || session.readyState < 3) session._put(pack(DISCONNECT));
          leave("io client disconnect");
        },

        _asks: function (again) {
          if (!(over || again)) return;
          if (!(session.readyState < 3 || session._reopening)) throw over;
          session._put(pack(CONNECT, member.auth));
          over = 0;
          owed++;
        },

        /** A packet has come. */
        _takes: function (kind, id, data) {
          var sid = member.id, error = null, told;

          function reply(value, last) {
            try {
              if (value && value.then) value.then(reply, failed);
              // If it has left since, whoever asked knows; listeners of its session's end may be called before ours is.
              else if (id && member.id === sid && session.readyState < 3) session._put(pack(ACK, [value].slice(value === undefined), id)); // what is undefined is no value
            } catch (error) {
              if (last) throw error;
              failed(error);
            }
          }

          function failed(error) {
            reply(problem(error), 1);
          }

          if (!(kind % 4)) {
            need(data && (kind || typeof (data.sid || 0) === "string"));
            // Left before it was let in, and perhaps asked for again: another answer is to come.
            if (!owed || --owed || over) return;
            if (kind) {
              leave(0, (error = new EventError(data.message, "refused", data.data)));
              tell("connect_error", [error]);
            } else {
              member.id = data.sid;
              member.connected = true;
              run(KEPT, function (one) {
                if (!one._id) one._ends();
                try {
                  if (one._size) one._size = session._put(one);
                } catch (error) {
                  if (!one._id) throw error;
                  one._ends(error);
                }
              });
              tell("connect");
            }
          } else if (!sid) return; // it was under way when this client left
          else if (kind === EVENT) {
            told = (data[0] !== "*" && tell(data[0], data.slice(1), 1)) || tell("*", data, 1);
            if (told) reply(told[0]);
            else failed(new EventError("no handler of " + data[0], "unknown"));
          } else if (kind === ACK) {
            told = data.length > 1 ? data : data[0];
            if (told && typeof told._error === "string") {
              error = new EventError(told.message, told._error, told.data);
              told = undefined;
            }
            run(KEPT, function (one) {
              if (one._id === +id) one._ends(error, told);
            });
          } else leave("io server disconnect");
        }
      };
      session.addEventListener("close", function (event) {
        var error = new EventError("closed with " + event.code + " " + event.reason, "closed", event.code);
        messages = [];
        late = clearTimeout(late);
        owed = 0;
        leave("transport close", error, session._reopening);
      });
      leave("closed");
    }
    for (k in options) {
      if ((value = options[k]) === undefined) continue;
      if (k !== "auth" && !(k === "timeout" && value === +value && value >= 0)) refuse("wrong options: " + JSON.stringify(options));
      member[k] = value;
    }
    member._asks();
    return member;

    function pack(type, data, id) {
      return write(session._bytes, type, name, data, id);
    }

    /** Calls `see` with each that listens to the event; what that throws is the page's to report, and stops nobody else. */
    function run(event, see) {
      session._run.call(member, event, see);
    }

    /** This client is in the namespace no more. Nothing comes of what has been sent, or, if it is not to be in, of what waits. */
    function leave(why, error, reopening) {
      var was = member.id;
      error = error || new EventError(why, "closed");
      over = over || (!reopening && error);
      member.connected = false;
      member.id = "";
      if (!over) member._asks(1); // what was not sent yet goes to the next session
      run(KEPT, function (one) {
        if (over || !one._size) one._ends(error);
      });
      if (was) tell("disconnect", [why]);
    }

    /**
     * Tells whoever listens to the event: [the answer, the first that is one]; nothing where nobody does. What is thrown stops nobody
     * else; where one is `asked`, it answers.
     */
    function tell(event, args, asked) {
      var told;
      run(event, function (listener) {
        var answer;
        try {
          answer = listener.apply(member, args);
        } catch (error) {
          if (!asked) throw error;
          answer = problem(error);
        }
        if (!told || told[0] === undefined) told = [answer];
      });
      return told;
    }
  }

  if (!session || !session._put) refuse("no Realtime: " + session);
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
          member = members["$" + packet[3]];
          if (member) member._takes.apply(0, packet); // else nobody has asked for it
        } else if (!late) {
          late = setTimeout(function () {
            session.close(4002, "no packet");
          }, PATIENCE);
        }
      } catch (code) {
        if (code !== +code) throw code;
        session.close(3000 + code, "no packet"); // a page can't close by the code itself
      }
    });
  }
  return session._of("/", options);
}
