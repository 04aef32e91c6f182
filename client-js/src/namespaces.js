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
  var members = [], reader = {}, calls = 0, end;
  var late; // a timer for attachments
  var kept = []; // events that wait for their namespace, which have _messages, and calls that wait for an answer

  /** A namespace of the session. It is asked for, unless this client is in it, or has asked. */
  function of(name, options) {
    var member = find(name), k;
    if (!member) {
      if (!isNamespace(name)) refuse("no namespace: " + name);
      member = { namespace: name, timeout: 5000, of: of, on: on, once: once, off: off, emit: emit, call: call, disconnect: disconnect };
      member._listeners = []; // [name, listener, once]
      reset(member);
      member._why = true; // an error, when this client is not to be in
      members.push(member);
    }
    for (k in options) member[k] = options[k];
    if (member._why) {
      if (end) throw end;
      ask(member);
    }
    return member;
  }

  function find(name) {
    for (var i = members.length; i--; ) if (members[i].namespace === name) return members[i];
  }

  /** Whether its session has not ended, either: listeners of that may be called before ours is. */
  function isIn(member) {
    return member.connected && session.readyState < 3;
  }

  function reset(member) {
    member.connected = false;
    member.id = "";
    member._asked = 0; // how many answers to come
  }

  function ask(member) {
    put(write(CONNECT, member.namespace, member.auth, -1));
    member._why = null;
    member._asked++;
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
    one._messages = null; // nor does it go where a copy of the list is being walked
    for (var i = kept.length; i--; ) if (kept[i] === one) kept.splice(i, 1);
  }

  /** Nothing comes of what is kept: of all that a member has, or of what was sent by any. */
  function drop(error, member) {
    var all = kept.slice(0), i;
    for (i = 0; i < all.length; i++) if (member ? all[i]._member === member : !all[i]._messages) all[i]._done(error);
  }

  /** This client is in the namespace no more. */
  function leave(member, error, why) {
    var was = member.connected, asked = member._asked;
    reset(member);
    member._asked = asked;
    member._why = error;
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
      _member: member,
      _id: done ? calls++ : -1,
      _done: function (error, answer) {
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
    if (member._why) throw member._why;
    one._messages = write(EVENT, member.namespace, args, one._id);
    if (kept.length >= MOST) refuse("too many events wait");
    if (isIn(member)) send(one);
    else {
      size = one._messages._size;
      for (i = kept.length; i--; ) if (kept[i]._messages) size += kept[i]._messages._size;
      fits(size);
    }
    if (done && member.timeout < 2147483648) {
      timer = setTimeout(function () {
        one._done(new EventError("no answer to " + args[0], "timeout"));
      }, member.timeout);
    }
    if (done || one._messages) kept.push(one);
  }

  function send(one) {
    put(one._messages);
    one._messages = null;
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
    if (this._why) return;
    if (isIn(this) || !this.connected) put(write(DISCONNECT, this.namespace, null, -1));
    leave(this, new EventError("left", "closed"), "io client disconnect");
  }

  function hear(member, packet, data) {
    var name = data.shift(), id = member.id, told = (name !== "*" && tell(member, name, data, 1)) || tell(member, "*", [name].concat(data), 1);
    var answer = told ? told[0] : { _error: "unknown", message: "there is no handler of '" + name + "'" };
    function reply(value) {
      // If it has left since, whoever asked knows.
      if (packet._id >= 0 && member.id === id && isIn(member)) put(write(ACK, member.namespace, value === undefined ? [] : [value], packet._id));
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
    var type = packet._type, data = packet._data, member = find(packet._namespace), all = kept.slice(0), i, one, answer, error;
    if (!member) return; // nobody has asked for it
    if (type === CONNECT || type > ACK) {
      need(type || (data && data.sid && typeof data.sid === "string"));
      // Left before it was let in, and perhaps asked for again: another answer is to come.
      if (!member._asked || --member._asked || member._why) return;
      if (type) {
        data = data && typeof data === "object" ? data : { message: data };
        leave(member, (error = new EventError(data.message, "refused", data.data)));
        tell(member, "connect_error", [error]);
      } else {
        member.id = data.sid;
        member.connected = true;
        for (i = 0; i < all.length; i++) {
          one = all[i];
          if (one._member !== member || !one._messages) continue;
          try {
            send(one);
            if (one._id < 0) forget(one);
          } catch (error) {
            one._done(error);
          }
        }
        tell(member, "connect", []);
      }
    } else if (!member.connected) return; // it was under way when this client left
    else if (type === EVENT) hear(member, packet, data);
    else if (type === ACK) {
      answer = data.length > 1 ? data : data[0];
      error = answer && typeof answer._error === "string" ? new EventError(answer.message, answer._error, answer.data) : null;
      for (i = 0; i < all.length; i++) if (all[i]._id === packet._id && all[i]._member === member) all[i]._done(error, error ? undefined : answer);
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
      if (!reader._packet) late = clearTimeout(late);
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
      if (member.connected) were.push(member);
      reset(member);
      if (end) member._why = member._why || end;
      else if (!member._why) ask(member); // what was not sent yet goes to the next session
    }
    for (i = 0; i < members.length; i++) if (end) drop(end, members[i]);
    drop(error);
    for (i = 0; i < were.length; i++) tell(were[i], "disconnect", ["transport close"]);
  });
  return of("/", options);
}
