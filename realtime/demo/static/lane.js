/* One transport's lane: a session, what it sends at which pace, and what is measured of it. Draws nothing. */
Demo.Lane = (function () {
  "use strict";
  var KEPT = 200; // echoes that percentiles are made of
  var MOST_UNDERWAY = 200; // echoes awaited: who is slower is sent less
  var MOST_BUFFERED = 131072;

  function Lane(name) {
    this.name = name;
    this.reset();
  }

  Lane.prototype = {
    reset: function () {
      this.session = null;
      this.state = "";
      this.bad = false;
      this.began = null; // by the page's clock, in milliseconds
      this.opened = null; // milliseconds after that
      this.held = false; // it opens, and sends nothing before go()
      this.settled();
    },

    /** Forgets what was measured but the opening: other settings, or a new interval. */
    settled: function () {
      this.trips = [];
      this.heard = 0; // messages that have come, since
      this.first = null; // the server's counts when it began, and
      this.last = null; // the newest
      this.since = null;
      this.sent = 0;
      this.underway = {};
      this.waiting = 0;
    },

    /** Opens a session at `url`; `changed(lane)` is called when its state has changed. `held`: it waits for go(). */
    open: function (url, settings, changed, held) {
      var self = this, began, session;
      this.reset();
      this.held = !!held;
      this.began = began = Demo.now();
      this.settings = settings;
      this.state = "opening";
      try {
        session = this.session = new Realtime(url, { transports: [this.name === "webtransport" ? RealtimeWebTransport() : this.name], upgrade: false });
      } catch (error) {
        this.over(error.message, changed);
        return;
      }
      if (session.readyState === 3) {
        this.over(this.whyNot(session) || "this browser can’t run it", changed);
        return;
      }
      session.onopen = function () {
        self.opened = Demo.now() - began;
        self.state = "open";
        if (!self.held) self.order();
        changed(self);
      };
      session.onmessage = function (event) {
        self.hear(event.data);
      };
      session.onstate = function () {
        if (session.state === "closed" || self.session !== session) return;
        self.state = session.state === "connecting" ? "opening" : session.state;
        changed(self);
      };
      session.onclose = function (event) {
        if (self.session === session) self.over(self.whyNot(session) || self.ending(event), changed);
      };
      changed(this);
    },

    whyNot: function (session) {
      var i, row;
      for (i = 0; i < session.negotiation.length; i++) {
        row = session.negotiation[i];
        if (row.name === this.name && row.verdict === "refused") return row.reason;
      }
      return "";
    },

    ending: function (event) {
      if (this.opened !== null) return "ended: " + Demo.ending(event);
      return "did not get through: " + event.reason.replace(/^no endpoint: \w+: /, "");
    },

    over: function (why, changed) {
      this.state = why;
      this.bad = true;
      this.session = null;
      changed(this);
    },

    close: function () {
      var session = this.session;
      this.session = null;
      if (this.state === "open" || this.state === "opening" || this.state === "detached") this.state = "";
      if (session) {
        session.onopen = session.onmessage = session.onstate = session.onclose = null;
        session.close();
      }
    },

    isOpen: function () {
      return !!this.session && this.session.readyState === 1;
    },

    /** Other settings from now on. */
    set: function (settings) {
      this.settings = settings;
      this.settled();
      if (this.isOpen() && !this.held) this.order();
    },

    /** Now it may send. */
    go: function () {
      var held = this.held;
      this.held = false;
      if (held && this.isOpen()) this.order();
    },

    /** Tells the server what it is to send. */
    order: function () {
      var down = this.settings.direction === "down";
      this.session.send("d" + JSON.stringify({ rate: down ? this.settings.rate : 0, size: this.settings.size }));
      this.since = Demo.now();
      this.sent = 0;
      this.turn = -1;
    },

    hear: function (text) {
      var number = parseInt(text.slice(1), 10), trip;
      this.heard++;
      if (text.charAt(0) !== "e" || this.underway[number] === undefined) return;
      trip = Demo.now() - this.underway[number];
      delete this.underway[number];
      this.waiting--;
      this.trips.push(trip);
      if (this.trips.length > KEPT) this.trips.shift();
    },

    /** Sends what is due. */
    send: function (now) {
      var settings = this.settings, elapsed, due, text;
      if (!this.isOpen() || this.since === null || settings.direction === "down") return;
      elapsed = ((now - this.since) * settings.rate) / 1000;
      if (Math.floor(elapsed) !== this.turn) {
        // At another moment of each pause: lanes don't send all at once, and none always comes right after a slow one.
        this.turn = Math.floor(elapsed);
        this.moment = Math.random();
      }
      due = this.turn + (elapsed - this.turn >= this.moment ? 1 : 0) - this.sent;
      if (due > 20 || this.waiting >= MOST_UNDERWAY || this.session.bufferedAmount > MOST_BUFFERED) {
        // It fell behind (or the page slept): no flood, the pace goes on from here.
        this.since = now - (this.sent / settings.rate) * 1000;
        return;
      }
      for (; due > 0; due--) {
        this.sent++;
        this.serial = (this.serial || 0) + 1;
        text = (settings.direction === "up" ? "u" : "e") + this.serial + " ";
        while (text.length < settings.size) text += "xxxxxxxxxxxxxxxx";
        text = text.slice(0, Math.max(settings.size, String(this.serial).length + 2));
        if (settings.direction === "echo") {
          this.underway[this.serial] = Demo.now();
          this.waiting++;
        }
        this.session.send(text);
      }
    },

    /** The server's counts, at its time `at`. */
    count: function (counts, at) {
      if (!counts || !this.isOpen()) return;
      counts.at = at;
      if (!this.first) this.first = counts;
      this.before = this.last;
      this.last = counts;
    },

    /** What is known by now; null for what is not. */
    figures: function (metered) {
      var first = this.first, last = this.last, messages, seconds, result, carried;
      result = {
        open: this.opened,
        p50: Demo.percentile(this.trips, 0.5),
        p95: Demo.percentile(this.trips, 0.95),
        rate: null,
        requests: null,
        bytes: null
      };
      if (!first || !last || last === first) return result;
      messages = last.up + last.down - first.up - first.down;
      seconds = last.at - first.at;
      carried = this.settings.direction === "up" ? last.up - first.up : last.down - first.down;
      if (seconds > 0) result.rate = carried / seconds;
      if (messages > 0 && metered) {
        result.requests = (last.requests - first.requests) / messages;
        result.bytes = (last.received + last.sent - first.received - first.sent) / messages;
      }
      return result;
    }
  };
  return Lane;
})();
