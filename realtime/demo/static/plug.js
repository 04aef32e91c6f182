/* Pull the plug: one session with numbered messages both ways, a network that breaks on request, and the account of it. */
Demo.plug = (function () {
  "use strict";
  var byId = Demo.byId, el = Demo.el, say = Demo.say;
  var PACE = 0.1; // seconds between messages, either way
  var BAND = 30000; // milliseconds in the band
  var MOST_TOLD = 200; // lines of the story
  var FAULTS = {
    block_websocket: "Block WebSocket",
    kill_websocket: "Kill WebSockets after a frame",
    hold_streams: "Hold streams",
    drop_replies: "Drop replies",
    repeat_posts: "Repeat POSTs"
  };
  var ONCE = { cut: "Cut everything for five seconds", restart: "Restart the server", mend: "Mend everything" };
  var STORED = "realtime demo panel"; // of this tab: who loads the page anew gives the old one back
  var INVITATION = "Break it: the session goes on.";
  var ROW = 10; // the height of a transport's track
  var session = null, panel = null, paused = false, timers = [], up, down, number, pieces = [], began, sessions, troubled = false;
  var past, unknown, config, pending = null;

  // -- counting ---------------------------------------------------------------------------------------------------------

  /** Counts messages that are numbered from 1, as the server does. */
  function Count() {
    this.received = this.lost = this.repeated = this.reordered = this.last = 0;
    this.missing = {};
  }
  Count.prototype.take = function (number) {
    var i;
    this.received++;
    if (number > this.last) {
      for (i = this.last + 1; i < number; i++) {
        this.missing[i] = true;
        this.lost++;
      }
      this.last = number;
    } else if (this.missing[number]) {
      delete this.missing[number];
      this.lost--;
      this.reordered++;
    } else this.repeated++;
  };

  function fresh() {
    up = null;
    down = new Count();
    number = 0;
  }

  /** What all sessions of this panel have come to, before the present one. */
  function add() {
    for (var name in past) past[name] += (up ? up[name] : 0) + down[name];
  }

  function draw() {
    var names = ["lost", "repeated", "reordered"], i, sum;
    say("counts-caption", "Session " + sessions + ": the server counts what goes up, the page what comes down");
    say("up-sent", String(number));
    say("up-received", up ? String(up.received) : "—");
    say("down-sent", down.last ? String(down.last) : "—");
    say("down-received", down.last ? String(down.received) : "—");
    for (i = 0; i < names.length; i++) {
      say("up-" + names[i], up ? String(up[names[i]]) : "—");
      say("down-" + names[i], down.last ? String(down[names[i]]) : "—");
      sum = up && down.last ? past[names[i]] + up[names[i]] + down[names[i]] : sessions > 1 ? past[names[i]] : null;
      // While the fate of some is unknown it is not all well.
      stand(names[i], sum, unknown ? "" : " good");
    }
    stand("unknown", up || sessions > 1 ? unknown : null, " good");
    band();
  }

  function stand(name, value, good) {
    var figure = byId("plug-" + name);
    say(figure, value === null ? "—" : String(value));
    figure.className = "figure" + (value === null ? " none" : !value ? good : name === "unknown" ? " open" : " bad");
  }

  // -- the story ----------------------------------------------------------------------------------------------------------

  function clock() {
    var seconds = Math.floor((Demo.now() - began) / 1000);
    return Math.floor(seconds / 60) + ":" + (seconds % 60 < 10 ? "0" : "") + (seconds % 60);
  }

  /** A line of the story, newest first. `kind` is a transport's name, "you", "bad" or "plain". */
  function tell(kind, text, reason) {
    var list = byId("story"), known = Demo.NAMES[kind];
    var item = el("li", { "class": known ? "t-" + kind : kind }, [
      el("time", { text: clock() }),
      el("span", { "class": "said", text: text })
    ]);
    if (reason) item.appendChild(el("span", { "class": "reason", text: " — " + reason }));
    list.insertBefore(item, list.firstChild);
    while (list.childNodes.length > MOST_TOLD) list.removeChild(list.lastChild);
  }

  /** What carries from now on; "" for nothing. */
  function piece(name) {
    var last = pieces[pieces.length - 1];
    if (last && last.name === name) return;
    pieces.push({ name: name, from: Demo.now() });
    if (pieces.length > 300) pieces.shift();
  }

  function band() {
    var now = Demo.now(), picture, i, from, to, part;
    if (!document.createElementNS) return;
    picture = Demo.svg("svg", { viewBox: "0 0 1000 " + ROW * config.transports.length, preserveAspectRatio: "none" });
    for (i = 0; i < config.transports.length; i++) {
      picture.appendChild(Demo.svg("line", { x1: 0, x2: 1000, y1: (i + 0.5) * ROW, y2: (i + 0.5) * ROW }));
    }
    for (i = 0; i < pieces.length; i++) {
      from = Math.max(0, 1000 - ((now - pieces[i].from) / BAND) * 1000);
      to = i + 1 < pieces.length ? 1000 - ((now - pieces[i + 1].from) / BAND) * 1000 : 1000;
      if (to <= 0) continue;
      // Each transport has a track of its own; where nothing carries, all have a shadow.
      part = pieces[i].name
        ? { x: from, y: config.transports.indexOf(pieces[i].name) * ROW + 1.5, width: Math.max(to - from, 2), height: ROW - 3 }
        : { x: from, y: 0, width: Math.max(to - from, 2), height: ROW * config.transports.length };
      part = Demo.svg("rect", part);
      part.setAttribute("class", pieces[i].name ? "t-" + pieces[i].name : "gap");
      picture.appendChild(part);
    }
    Demo.clear(byId("band"));
    byId("band").appendChild(picture);
  }

  // -- the session ------------------------------------------------------------------------------------------------------

  function start() {
    byId("plug-start").disabled = true;
    enable(false);
    say("plug-status", "Making a network of your own…");
    Demo.ask("POST", "/demo/plug", function (problem, given) {
      if (problem) {
        byId("plug-start").disabled = false;
        pending = null;
        ready();
        say("plug-status", "It could not start: " + problem + ".");
        return;
      }
      panel = given;
      Demo.remember(STORED, given.token);
      Demo.probe(Demo.at(given.port) + given.path + "/negotiate", function (yes) {
        if (panel !== given) return;
        if (!yes) {
          leave(given);
          panel = null;
        }
        open(yes ? Demo.at(given.port) + given.path : location.protocol + "//" + location.host + given.path, yes);
      });
    });
  }

  /** Opens the session; `through`: through the network that can be broken. */
  function open(url, through) {
    began = Demo.now();
    pieces = [];
    sessions = 1;
    unknown = 0;
    past = { lost: 0, repeated: 0, reordered: 0 };
    paused = false;
    fresh();
    Demo.clear(byId("story"));
    Demo.show("unacked", false);
    Demo.show("plug-restart", !!panel && panel.restart);
    say("plug-restart-what", "killed; " + (panel && panel.durable ? "another goes on" : "the session ends"));
    say("plug-status", through ? "Opening…" : "The port of the breakable network can’t be reached from here: the session runs, but nothing can be broken.");
    if (through) {
      // A network that was just made: what an earlier one on this port did is no evidence.
      try {
        localStorage.removeItem("realtime:" + Demo.at(panel.port));
      } catch (error) {
        // Storage is forbidden here, so nothing is remembered.
      }
    }
    enable(through);
    press([]);
    acted({});
    session = new Realtime(url, { reopen: true });
    session.onopen = function () {
      tell("plain", sessions > 1 ? "A new session is open" : "The session is open");
      if (through) say("plug-status", INVITATION);
      if (pending && panel) act(pending);
      pending = null;
    };
    session.ontransport = function (event) {
      piece(event.transport);
      tell(event.transport, Demo.NAMES[event.transport] + " carries the session", event.reason);
      where();
    };
    session.onstate = function (event) {
      if (event.state === "detached") tell("bad", "No connection. Messages wait");
      piece(event.state === "open" || event.state === "draining" ? session.transport : "");
      where();
    };
    session.onmessage = function (event) {
      var told = JSON.parse(event.data);
      down.take(told.n);
      up = told.up;
    };
    session.onclose = closed;
    timers = [setInterval(send, PACE * 1000), setInterval(draw, 250)];
    if (through) timers.push(setInterval(look, 1500));
    where();
    byId("plug-pause").disabled = byId("plug-end").disabled = false;
    say("plug-pause", "Pause");
  }

  function where() {
    var name = session ? session.transport : "", figure = byId("plug-transport");
    say(figure, Demo.NAMES[name] || "—");
    figure.className = "figure name" + (name ? " t-" + name : " none");
    for (var i = 0, names = byId("track-names").childNodes; i < names.length; i++) {
      names[i].className = "t-" + config.transports[i] + (session && config.transports[i] === name ? " now" : "");
    }
    say("plug-state", !session ? "ended" : session.state === "open" ? "carries it now" : session.state === "detached" ? "was last; reconnecting" : session.state);
  }

  function send() {
    if (!session || paused || session.readyState > 1) return;
    if (session.bufferedAmount > 65536) return;
    number++;
    session.send(JSON.stringify({ n: number, pace: PACE }));
  }

  function closed(event) {
    var left = event.unacknowledged, numbers = [], i;
    tell("bad", "The session ended with " + Demo.ending(event), event.reopening ? "a new one is being opened" : "");
    if (left.length) {
      for (i = 0; i < left.length; i++) numbers.push(JSON.parse(left[i]).n);
      tell("plain", left.length + " messages were sent and never acknowledged: they are listed, not lost in silence");
    }
    unknown += left.length;
    if (left.length) {
      Demo.show("unacked", true);
      say("unacked-title", (left.length === 1 ? "Message " : "Messages ") + ranges(numbers) + " of session " + sessions + ": fate unknown.");
      say("unacked-about", "They were sent and never acknowledged: they may or may not have arrived.");
    }
    if (event.reopening) {
      add();
      sessions++;
      fresh();
      draw();
      tell("plain", "Session " + sessions + " counts from 1 again");
    } else finish("The session has ended: " + Demo.ending(event) + ".");
  }

  /** Numbers in a row as "31–44". */
  function ranges(numbers) {
    var parts = [], i, from;
    for (i = 0; i < numbers.length; i++) {
      for (from = i; numbers[i + 1] === numbers[i] + 1; ) i++;
      parts.push(numbers[from] + (i > from ? "–" + numbers[i] : ""));
    }
    return parts.join(", ");
  }

  function end() {
    if (session) {
      session.onclose = null;
      session.close();
      tell("you", "You ended the session");
    }
    finish("Ended.");
  }

  function finish(why) {
    while (timers.length) clearInterval(timers.pop());
    pending = null;
    draw();
    session = null;
    piece("");
    where();
    leaveLater(panel);
    panel = null;
    press([]);
    ready();
    byId("plug-start").disabled = false;
    byId("plug-pause").disabled = byId("plug-end").disabled = true;
    say("plug-status", why);
  }

  function pause() {
    paused = !paused;
    say("plug-pause", paused ? "Go on" : "Pause");
    tell("you", paused ? "You paused. When all has arrived, sent and received are the same" : "You went on");
    if (paused && session && session.readyState < 2) {
      number++;
      session.send(JSON.stringify({ n: number, pace: null }));
    }
  }

  // -- the network --------------------------------------------------------------------------------------------------------

  function leave(left) {
    if (left) Demo.ask("POST", "/demo/plug/" + left.token + "/leave", function () {});
  }

  /** The session says good-bye first. */
  function leaveLater(left) {
    setTimeout(function () {
      leave(left);
    }, 2000);
  }

  function buttons() {
    return byId("plug").querySelectorAll(".faults button");
  }

  function enable(enabled) {
    for (var i = 0, all = buttons(); i < all.length; i++) all[i].disabled = !enabled;
  }

  /** Without a session, what breaks opens one first. */
  function ready() {
    for (var i = 0, all = buttons(); i < all.length; i++) all[i].disabled = !config.plug || all[i].getAttribute("data-once") === "mend";
  }

  /** Shows which faults are in force. */
  function press(names) {
    for (var i = 0, all = buttons(), name; i < all.length; i++) {
      name = all[i].getAttribute("data-fault");
      if (name) all[i].setAttribute("aria-pressed", names.indexOf(name) >= 0 ? "true" : "false");
    }
  }

  /** Says how often each fault has acted. */
  function acted(counts) {
    for (var i = 0, all = buttons(), name, mark; i < all.length; i++) {
      name = all[i].getAttribute("data-fault");
      if (!name) continue;
      mark = all[i].querySelector(".acted");
      if (!mark) all[i].appendChild((mark = el("span", { "class": "acted" })));
      say(mark, counts[name] ? "has acted " + (counts[name] === 1 ? "once" : counts[name] + " times") : "");
    }
  }

  /** Keeps the panel, and finds out whether it was given up. */
  function look() {
    if (!panel) return;
    Demo.ask("GET", "/demo/plug/" + panel.token, function (problem, told) {
      if (problem) say("plug-status", "The network of this panel: " + problem + ".");
      else if (troubled) say("plug-status", INVITATION);
      troubled = !!problem;
      if (told) {
        press(told.faults);
        acted(told.fired);
      }
    });
  }

  function act(button) {
    var fault = button.getAttribute("data-fault"), once = button.getAttribute("data-once"), on;
    if (!session) {
      pending = button;
      start();
      return;
    }
    if (!panel) return;
    on = button.getAttribute("aria-pressed") !== "true";
    tell("you", fault ? FAULTS[fault] + (on ? "" : ": no more") : ONCE[once]);
    if (once === "restart") {
      say("plug-status", "Killing the server process and starting it again…");
      button.disabled = true;
    }
    Demo.ask("POST", "/demo/plug/" + panel.token + "/" + (fault ? fault + "?on=" + (on ? 1 : 0) : once), function (problem, told) {
      if (once === "restart" && session) button.disabled = false;
      if (problem) say("plug-status", "That did not work: " + problem + ".");
      else {
        press(told.faults);
        acted(told.fired);
        if (once === "restart") {
          say("plug-status", INVITATION);
          tell(
            "plain",
            "The server process is new: number " + told.pid + ", start " + told.starts,
            panel && panel.durable ? "a store has kept the session, and this process goes on with it" : ""
          );
        }
      }
      if (once === "mend" && window.dispatchEvent) {
        // What a browser does when a network comes back.
        try {
          window.dispatchEvent(new Event("online"));
        } catch (error) {
          look(); // an engine without constructors of events: the session finds out by itself
        }
      }
    });
  }

  function listen(button) {
    button.onclick = function () {
      act(button);
    };
  }

  Demo.whenReady(function (found) {
    var i, all = buttons(), old = Demo.remember(STORED, "");
    config = found;
    for (i = 0; i < config.transports.length; i++) {
      byId("track-names").appendChild(el("li", { "class": "t-" + config.transports[i], text: Demo.NAMES[config.transports[i]] }));
    }
    Demo.show("plug-restart", config.local);
    band();
    ready();
    for (i = 0; i < all.length; i++) listen(all[i]);
    if (old) Demo.ask("POST", "/demo/plug/" + old + "/leave", function () {});
    byId("plug-start").onclick = start;
    byId("plug-pause").onclick = pause;
    byId("plug-end").onclick = end;
  });

  return {
    session: function () {
      return session;
    }
  };
})();
