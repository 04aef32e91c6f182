/* The chat: two panes, each with a session of its own on a transport of its own, in one room. */
(function () {
  "use strict";
  var el = Demo.el, say = Demo.say;
  var MOST = 200; // lines kept

  function Pane(number, name, transport, config) {
    var id = "pane" + number, self = this, i;
    this.config = config;
    this.session = null;
    this.title = el("h3", { id: id + "-title", text: "Pane " + number });
    this.name = el("input", { id: id + "-name", maxlength: "24", autocomplete: "off", value: name });
    this.transport = el("select", { id: id + "-transport" });
    this.transport.appendChild(el("option", { value: "", text: "as negotiated" }));
    for (i = 0; i < config.offered.length; i++) {
      this.transport.appendChild(el("option", { value: config.offered[i], text: Demo.NAMES[config.offered[i]] }));
    }
    this.transport.value = config.offered.indexOf(transport) >= 0 ? transport : "";
    this.join = el("button", { type: "submit", "class": "main", text: "Join" });
    this.state = el("p", { "class": "status", role: "status", text: "Not in the room." });
    // A log is read out as it grows, politely.
    this.said = el("div", { "class": "said", role: "log", "aria-labelledby": id + "-title", tabindex: "0" });
    this.text = el("input", { id: id + "-text", maxlength: "2000", autocomplete: "off", disabled: "" });
    this.send = el("button", { type: "submit", text: "Say it", disabled: "" });
    this.entry = el("form", { "class": "controls", action: "#chat" }, [
      field("Name", this.name, "name"),
      field("Transport", this.transport, ""),
      el("div", { "class": "actions" }, [this.join])
    ]);
    this.say = el("form", { "class": "controls say", action: "#chat" }, [
      field("Message", this.text, ""),
      el("div", { "class": "actions" }, [this.send])
    ]);
    this.element = el("div", { "class": "pane", role: "region", "aria-labelledby": id + "-title", id: id }, [
      this.title, this.entry, this.state, this.said, this.say
    ]);
    this.entry.onsubmit = function () {
      if (self.session) self.leave();
      else self.enter();
      return false;
    };
    this.say.onsubmit = function () {
      if (self.session && self.text.value) self.session.send(self.text.value);
      self.text.value = "";
      return false;
    };
    Demo.byId("panes").appendChild(this.element);
  }

  function field(label, input, kind) {
    return el("div", { "class": "field " + kind }, [el("label", { "for": input.id, text: label }), input]);
  }

  Pane.prototype = {
    enter: function () {
      var self = this, options = { reopen: true }, chosen = this.transport.value, session;
      if (chosen) options = { reopen: true, transports: [chosen], upgrade: false };
      Demo.clear(this.said);
      session = this.session = new Realtime(location.protocol + "//" + location.host + this.config.prefix + "/chat", options);
      session.onopen = function () {
        session.send(self.name.value || "somebody"); // the first thing said is the name
        self.enable();
      };
      session.onmessage = function (event) {
        self.hear(event.data);
      };
      session.ontransport = session.onstate = function () {
        self.tell();
      };
      session.onclose = function (event) {
        self.line("news", "The session ended with " + Demo.ending(event) + (event.reopening ? "; opening another." : "."));
        if (!event.reopening) self.left();
        self.enable();
      };
      say(this.join, "Leave");
      this.join.className = "";
      if (session.readyState === 3) {
        this.line("news", "This browser can’t run it.");
        this.left();
      }
      this.tell();
      this.enable();
    },

    leave: function () {
      var session = this.session;
      session.onclose = session.onmessage = session.ontransport = session.onstate = null;
      session.close();
      this.line("news", "You left.");
      this.left();
    },

    left: function () {
      this.session = null;
      say(this.join, "Join");
      this.join.className = "main";
      this.tell();
      this.enable();
    },

    enable: function () {
      var open = !!this.session && this.session.readyState === 1;
      this.text.disabled = this.send.disabled = !open;
      this.name.disabled = this.transport.disabled = !!this.session;
    },

    tell: function () {
      var session = this.session, name = session && session.transport;
      this.title.className = name ? "t-" + name : "";
      if (!session) say(this.state, "Not in the room.");
      else if (session.state === "open" && name) say(this.state, "In the room, over " + Demo.NAMES[name] + ".");
      else if (session.state === "detached") say(this.state, "No connection; what you say waits.");
      else say(this.state, "Connecting…");
    },

    hear: function (text) {
      var own = text.indexOf(this.name.value + ": ") === 0;
      this.line(text.charAt(0) === "*" ? "news" : own ? "own" : "", text.replace(/^\* /, ""));
    },

    line: function (kind, text) {
      var list = this.said, atEnd = list.scrollTop + list.clientHeight > list.scrollHeight - 24;
      list.appendChild(el("p", { "class": kind, text: text }));
      if (list.childNodes.length > MOST) list.removeChild(list.firstChild);
      if (atEnd) list.scrollTop = list.scrollHeight;
    }
  };

  Demo.whenReady(function (config) {
    var tail = Math.floor(Math.random() * 900 + 100); // names are taken once, and others may be here
    new Pane(1, "Ada " + tail, "websocket", config);
    new Pane(2, "Grace " + tail, "long_polling", config);
  });
})();
