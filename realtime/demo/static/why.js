/* Why this transport? One session's negotiation, drawn; and each transport tried alone: the doctor's table. */
(function () {
  "use strict";
  var byId = Demo.byId, el = Demo.el, say = Demo.say;
  var PATIENCE = 12000;
  var WATCHED = 4000; // an upgrade comes soon, or not for a while
  var session = null, watching, config, server, drawn = [];

  function address() {
    return location.protocol + "//" + location.host + config.prefix + "/echo";
  }

  // -- the negotiation -----------------------------------------------------------------------------------------------------

  function negotiate() {
    var began = Demo.now(), path = [];
    stop();
    Demo.show("why-result", false);
    byId("why-start").disabled = true;
    say("why-status", "Negotiating…");
    server = {};
    Demo.ask("GET", config.prefix + "/echo/negotiate?transports=" + config.transports.join(","), function (problem, told) {
      for (var i = 0; told && i < told.transports.length; i++) server[told.transports[i].name] = told.transports[i];
      if (path.length) draw(path);
    });
    session = new Realtime(address(), { reopen: false });
    session.ontransport = function (event) {
      path.push({ name: event.transport, after: Demo.now() - began, reason: event.reason });
      draw(path);
    };
    session.onclose = function (event) {
      say("why-status", "The session ended with " + Demo.ending(event) + ".");
      done();
    };
    watching = setTimeout(function () {
      draw(path);
      say("why-status", "");
      session.onclose = null;
      session.close();
      done();
    }, WATCHED);
    if (session.readyState === 3) done();
  }

  function done() {
    clearTimeout(watching);
    session = null;
    byId("why-start").disabled = false;
  }

  function stop() {
    if (!session) return;
    session.onclose = null;
    session.close();
    done();
  }

  function draw(path) {
    var table = session ? session.negotiation : drawn, ladder = byId("ladder"), slowest = 0, words = [], i;
    drawn = table;
    for (i = 0; i < table.length; i++) {
      // A session that opened at once has its own transport's time from the page.
      if (table[i].verdict === "taken" && !table[i].timing && path.length === 1) table[i].timing = path[0].after / 1000;
    }
    for (i = 0; i < table.length; i++) slowest = Math.max(slowest, table[i].timing || 0);
    Demo.clear(ladder);
    for (i = 0; i < table.length; i++) ladder.appendChild(rung(table[i], slowest));
    for (i = 0; i < path.length; i++) {
      words.push((i ? "then " : "") + Demo.NAMES[path[i].name] + " after " + Demo.figure(path[i].after) + " ms" +
        (path[i].reason ? " (" + path[i].reason + ")" : ""));
    }
    say("why-verdict", words.join(", ") + ".");
    Demo.show("why-result", true);
  }

  function rung(row, slowest) {
    var parts = [el("h3", { text: Demo.NAMES[row.name] || row.name }), el("span", { "class": "tag", text: row.verdict })], told = server[row.name], bar;
    var reason = row.reason || (row.verdict === "taken" ? "carries the session" : "");
    if (row.timing) reason += (reason ? "; " : "") + "got through in " + Demo.figure(row.timing * 1000) + " ms";
    parts.push(el("p", { text: reason || "not tried" }));
    if (told && row.verdict !== "taken" && (told.verdict !== row.verdict || told.reason !== row.reason)) {
      parts.push(el("p", { text: "Asked without that history the server says: " + told.verdict + (told.reason ? ", " + told.reason : "") }));
    }
    if (row.timing) {
      bar = el("i");
      bar.style.width = (100 * row.timing) / slowest + "%";
      parts.push(el("span", { "class": "time", "aria-hidden": "true" }, [bar]));
    }
    return el("li", { "class": "rung t-" + row.name + " " + row.verdict }, parts);
  }

  // -- the doctor ----------------------------------------------------------------------------------------------------------

  function examine() {
    var rows = {}, body = byId("doctor-table").tBodies[0], through = 0, i, name, cells;
    byId("doctor-start").disabled = true;
    Demo.clear(body);
    for (i = 0; i < config.transports.length; i++) {
      name = config.transports[i];
      cells = [
        el("td", { role: "cell", "data-label": "got through", text: "—" }),
        el("td", { role: "cell", "data-label": "open, ms", text: "—" }),
        el("td", { role: "cell", "data-label": "echo, ms", text: "—" }),
        el("td", { role: "cell", "class": "words quiet", text: "" })
      ];
      rows[name] = cells;
      body.appendChild(el("tr", { role: "row", id: "doctor-" + name }, [el("th", { scope: "row", role: "rowheader", "class": "t-" + name, text: Demo.NAMES[name] })].concat(cells)));
    }
    Demo.show("doctor", true);
    step(0);

    function step(index) {
      var name = config.transports[index];
      if (!name) {
        say("doctor-status", through + " of " + config.transports.length + " transports get through from this browser.");
        byId("doctor-start").disabled = false;
        return;
      }
      say("doctor-status", "Trying " + Demo.NAMES[name] + "…");
      attempt(name, function (opened, echoed, why) {
        if (!why) through++;
        say(rows[name][0], why ? "no" : "yes");
        rows[name][0].className = why ? "no" : "yes";
        say(rows[name][1], Demo.figure(opened));
        say(rows[name][2], Demo.figure(echoed));
        say(rows[name][3], why);
        step(index + 1);
      });
    }
  }

  /** One session over one transport: done(milliseconds to open, to the echo, why not). */
  function attempt(name, done) {
    var began = Demo.now(), opened = null, sent, timer, one, answer;
    function end(echoed, why) {
      if (!done) return;
      clearTimeout(timer);
      if (one) {
        one.onopen = one.onmessage = one.onclose = null;
        one.close();
      }
      answer = done;
      done = null;
      setTimeout(function () {
        answer(opened, echoed, why);
      }, 50);
    }
    timer = setTimeout(function () {
      end(null, opened === null ? "it did not open within " + PATIENCE / 1000 + " s" : "no echo came within " + PATIENCE / 1000 + " s");
    }, PATIENCE);
    try {
      one = new Realtime(address(), { transports: [name], upgrade: false });
    } catch (error) {
      end(null, error.message);
      return;
    }
    if (one.readyState === 3) {
      end(null, whyNot(one, name) || "this browser can’t run it");
      return;
    }
    one.onopen = function () {
      opened = Demo.now() - began;
      sent = Demo.now();
      one.send("?");
    };
    one.onmessage = function () {
      end(Demo.now() - sent, "");
    };
    one.onclose = function (event) {
      end(null, whyNot(one, name) || event.reason || "code " + event.code);
    };
  }

  function whyNot(session, name) {
    for (var i = 0, table = session.negotiation; i < table.length; i++) {
      if (table[i].name === name && table[i].verdict === "refused") return table[i].reason;
    }
    return "";
  }

  Demo.whenReady(function (found) {
    config = found;
    byId("why-start").onclick = negotiate;
    byId("doctor-start").onclick = examine;
  });
})();
