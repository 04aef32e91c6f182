/**
 * Events over a session: names, arguments, answers, namespaces (docs/events.md). A module of its own, for those who want it. It
 * hears of a session what every page may hear, sends as a page does, and knows of its insides how much it takes.
 */
import { ACK, CONNECT, DISCONNECT, EVENT, feed, isNamespace, refuse, write } from "./packets.js";
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
  if (error instanceof EventError) return { _error: error.code, message: error.message, data: error.data };
  rethrow(error);
  return { _error: "failed", message: "the handler failed" };
}

/** Whether somebody listened: [the answer, the first that is one]. What is thrown stops nobody else. */
function tell(member, name, args, answers) {
  var all = member._listeners.slice(0), told, i, listener, answer;
  for (i = 0; i < all.length; i++) {
    listener = all[i][0] === name && all[i][1];
    if (!listener) continue;
    if (all[i][2]) member.off(name, listener);
    try {
      answer = listener.apply(member, args);
    } catch (error) {
      if (answers) answer = problem(error);
      else rethrow(error);
    }
    told = told || [];
    if (told[0] === undefined) told[0] = answer;
  }
  return told;
}

/** The main namespace of a session, which is asked for now, with {auth, timeout}. */
export function events(session, options) {
  var members = [], // also by their names
    reader = {}, calls = 0, end;
  var late; // a timer for attachments
  var kept = []; // events that wait for their namespace, which have _batch, and calls that wait for an answer

  /** A namespace of the session. It is asked for, unless this client is in it, or has asked. */
  function of(name, options) {
    var member, k;
    if (!isNamespace(name)) refuse("no namespace: " + name);
    member = members[name];
    if (!member) {
      member = members[name] = {
        namespace: name,
        id: "",
        connected: false,
        timeout: 5000,
        of: of,
        on: on,
        once: once,
        off: off,
        emit: emit,
        call: call,
        disconnect: disconnect,
        _listeners: [], // [name, listener, once]
        _owed: 0, // how many answers to come
        _over: true // an error, when this client is not to be in
      };
      members.push(member);
    }
    for (k in options) member[k] = options[k];
    if (member._over) {
      if (end) throw end;
      ask(member);
    }
    return member;
  }

  /** Whether its session has not ended, either: listeners of that may be called before ours is. */
  function isIn(member) {
    return member.connected && session.readyState < 3;
  }

  /** It is out. Returns whether it was in. */
  function reset(member) {
    var was = member.connected;
    member.connected = false;
    member.id = "";
    return was;
  }

  function ask(member) {
    say(member, CONNECT, member.auth);
    member._over = null;
    member._owed++;
  }

  function say(member, type, data, id) {
    put(write(type, member.namespace, data, id));
  }

  /** Sends all the messages of a packet, or throws and sends none. */
  function put(messages) {
    var i;
    if (messages[1]) fits(session.bufferedAmount + messages._size);
    for (i = 1; i < messages.length; i++) if (messages[i].length > session._maxSize) refuse("above max_size");
    for (i = 0; i < messages.length; i++) {
      session._rest = i; // what belongs to the message before
      session.send(messages[i]);
    }
    session._rest = 0;
  }

  function fits(size) {
    if (size > session._options.maxBuffered) refuse("above maxBuffered");
  }

  function forget(one) {
    one._batch = null; // nor does it go where a copy of the list is being walked
    for (var i = kept.length; i--; ) if (kept[i] === one) kept.splice(i, 1);
  }

  /** Nothing comes of what is kept: of all that a member has, or of what was sent by any; of all when the session is over. */
  function drop(error, member) {
    var all = kept.slice(0), i;
    for (i = 0; i < all.length; i++) if (end || (member ? all[i]._of === member : !all[i]._batch)) all[i]._ends(error);
  }

  /** This client is in the namespace no more. */
  function leave(member, error, why) {
    var was = reset(member);
    member._over = error;
    drop(error, member);
    if (was) tell(member, "disconnect", [why]);
  }

  function on(name, listener) {
    this._listeners.push([name, listener]);
  }

  function once(name, listener) {
    this._listeners.push([name, listener, true]);
  }

  /** Takes this listener away, or all of the event. */
  function off(name, listener) {
    var all = this._listeners, i;
    for (i = all.length; i--; ) {
      // Nor is it called where a copy of the list is being walked.
      if (all[i][0] === name && (!listener || all[i][1] === listener)) all.splice(i, 1)[0][1] = null;
    }
  }

  /** Sends an event, or keeps it until its namespace is there. A function as the last argument is given the answer: (error, answer). */
  function emit() {
    var member = this, args = [].slice.call(arguments), done = typeof args[args.length - 1] === "function" && args.pop();
    var one = {
      _of: member,
      _id: done && calls++,
      _ends: function (error, answer) {
        clearTimeout(timer);
        forget(one);
        try {
          if (done) done(error, answer);
          else if (error && !(error instanceof EventError)) rethrow(error);
        } catch (thrown) {
          rethrow(thrown);
        }
      }
    };
    var size, i, timer;
    if (member._over) throw member._over;
    one._batch = write(EVENT, member.namespace, args, one._id);
    if (kept.length >= MOST) refuse("too many events wait");
    if (isIn(member)) send(one);
    else {
      size = one._batch._size;
      for (i = kept.length; i--; ) if (kept[i]._batch) size += kept[i]._batch._size;
      fits(size);
      kept.push(one);
    }
    if (done && member.timeout < 2147483648) {
      timer = setTimeout(function () {
        one._ends(new EventError("no answer to " + args[0], "timeout"));
      }, member.timeout);
    }
  }

  /** Sends what may be kept; it is kept on if an answer is to come. */
  function send(one) {
    put(one._batch);
    forget(one);
    if (one._id !== false) kept.push(one);
  }

  /** The same, and promises the answer. */
  function call() {
    var self = this, args = [].slice.call(arguments);
    return new Promise(function (resolve, reject) {
      args.push(function (error, answer) {
        if (error) reject(error);
        else resolve(answer);
      });
      emit.apply(self, args);
    });
  }

  /** Leaves the namespace; the session goes on. */
  function disconnect() {
    if (this._over) return;
    if (isIn(this) || !this.connected) say(this, DISCONNECT);
    leave(this, new EventError("left", "closed"), "io client disconnect");
  }

  function hear(member, packet, data) {
    var name = data.shift(), id = member.id, told = (name !== "*" && tell(member, name, data, 1)) || tell(member, "*", [name].concat(data), 1);
    var answer = told ? told[0] : { _error: "unknown", message: "there is no handler of '" + name + "'" };
    function reply(value) {
      // If it has left since, whoever asked knows.
      if (packet._id !== false && member.id === id && isIn(member)) say(member, ACK, value === undefined ? [] : [value], packet._id);
    }
    function failed(error) {
      reply(problem(error));
    }
    if (answer && answer.then) answer.then(reply).then(null, failed);
    else {
      try {
        reply(answer);
      } catch (error) {
        failed(error);
      }
    }
  }

  function take(packet) {
    var type = packet._kind, data = packet._received, member = members[packet._name], all = kept.slice(0), i, one, answer, error;
    if (!member) return; // nobody has asked for it
    if (type === CONNECT || type > ACK) {
      need(type || (data && data.sid && typeof data.sid === "string"));
      // Left before it was let in, and perhaps asked for again: another answer is to come.
      if (!member._owed || --member._owed || member._over) return;
      if (type) {
        data = data && typeof data === "object" ? data : { message: data };
        leave(member, (error = new EventError(data.message, "refused", data.data)));
        tell(member, "connect_error", [error]);
      } else {
        member.id = data.sid;
        member.connected = true;
        for (i = 0; i < all.length; i++) {
          one = all[i];
          if (one._of !== member || !one._batch) continue;
          try {
            send(one);
          } catch (error) {
            one._ends(error);
          }
        }
        tell(member, "connect", []);
      }
    } else if (!member.connected) return; // it was under way when this client left
    else if (type === EVENT) hear(member, packet, data);
    else if (type === ACK) {
      answer = data.length > 1 ? data : data[0];
      error = answer && typeof answer._error === "string" ? new EventError(answer.message, answer._error, answer.data) : null;
      for (i = 0; i < all.length; i++) if (all[i]._id === packet._id && all[i]._of === member) all[i]._ends(error, error ? undefined : answer);
    } else leave(member, new EventError("put out", "closed"), "io server disconnect");
  }

  function broken(code) {
    session.close(3000 + code, "no packet of events"); // a page can't close by the code itself
  }

  if (session._of) return session._of("/", options);
  session._of = of;
  session.binaryType = "arraybuffer";
  session.addEventListener("message", function (event) {
    var packet;
    try {
      packet = feed(reader, event.data);
      if (!reader._current) late = clearTimeout(late);
      else if (!late) {
        late = setTimeout(function () {
          broken(1002);
        }, PATIENCE);
      }
      if (packet) take(packet);
    } catch (code) {
      if (code !== +code) throw code;
      broken(code);
    }
  });
  session.addEventListener("close", function (event) {
    var were = [], error = new EventError("the session has ended: " + event.code + " " + event.reason, "closed", event.code), i, member;
    reader = {};
    late = clearTimeout(late);
    if (!event.reopening) end = error;
    for (i = 0; i < members.length; i++) {
      member = members[i];
      if (reset(member)) were.push(member);
      member._owed = 0;
      if (end) member._over = member._over || end;
      else if (!member._over) ask(member); // what was not sent yet goes to the next session
    }
    drop(error);
    for (i = 0; i < were.length; i++) tell(were[i], "disconnect", ["transport close"]);
  });
  return of("/", options);
}
