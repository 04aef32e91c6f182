/* Why this transport? One session's negotiation, and what speaks for each transport: how it carries, and how it did just
   now, tried alone from this browser. */
(function () {
  "use strict";
  var byId = Demo.byId, el = Demo.el, say = Demo.say;
  var PATIENCE = 12000; // for one transport, in milliseconds
  var WATCHED = 4000; // an upgrade comes soon, or not for a while
  var ECHOES = 3; // of which the middle one counts
  var HOW = {
    websocket: "one connection, both ways",
    sse: "an EventSource down, a POST for what goes up",
    xhr_streaming: "one long answer that is read as it grows, a POST for what goes up",
    multipart: "one long answer of many parts, a POST for what goes up",
    htmlfile: "a hidden frame whose scripts are run as they come, a form for what goes up",
    long_polling: "a request that is answered when there is news",
    polling: "a request now and then, whether there is news or not",
    jsonp: "a script element for each answer: it needs no XMLHttpRequest"
  };
  var ORDINARY = /^(carries the session|allowed here.*|)$/;
  var session = null, watching, config, busy = false;
  var path = []; // the transports that carried the session: {name, after (milliseconds), reason}
  var table = []; // session.negotiation
  var found = {}; // by transport, what its own attempt came to: {open, echo, why}
  var trying = "";

  function address() {
    return location.protocol + "//" + location.host + config.prefix + "/echo";
  }

  // -- the negotiation -----------------------------------------------------------------------------------------------------

  function start() {
    var began = Demo.now();
    if (busy) return;
    busy = true;
    path = [];
    table = [];
    found = {};
    trying = "";
    byId("why-start").disabled = true;
    Demo.show("why-result", false);
    say("why-status", "Negotiating…");
    try {
      session = new Realtime(address(), { reopen: false });
    } catch (error) {
      ended(error.message);
      return;
    }
    session.ontransport = function (event) {
      path.push({ name: event.transport, after: Demo.now() - began, reason: event.reason });
      table = session.negotiation;
      draw();
      // Nothing that runs here is wanted more than the first: there will be no upgrade.
      if (first() === event.transport) carried();
    };
    session.onclose = function (event) {
      ended("it ended with " + Demo.ending(event));
    };
    watching = setTimeout(carried, WATCHED);
    if (session.readyState === 3) ended("this browser can’t run it");
  }

  /** The most wanted of those that were not refused. */
  function first() {
    for (var i = 0; i < table.length; i++) if (table[i].verdict !== "refused") return table[i].name;
    return "";
  }

  /** There is no session: the transports are tried all the same. */
  function ended(why) {
    if (!session && table.length) return;
    clearTimeout(watching);
    table = session ? session.negotiation : [];
    if (session) session.ontransport = session.onclose = null;
    session = null;
    path.push({ name: "", after: 0, reason: why });
    examine(0);
  }

  function carried() {
    clearTimeout(watching);
    if (!session) return;
    table = session.negotiation;
    session.ontransport = session.onclose = null;
    session.close();
    session = null;
    setTimeout(function () {
      examine(0);
    }, 100);
  }

  // -- each alone ------------------------------------------------------------------------------------------------------------

  function examine(index) {
    var name = config.transports[index], through = 0, i;
    trying = name || "";
    draw();
    if (!name) {
      for (i = 0; i < config.transports.length; i++) if (!found[config.transports[i]].why) through++;
      say("why-status", through + " of " + config.transports.length + " transports get through from this browser.");
      busy = false;
      byId("why-start").disabled = false;
      return;
    }
    say("why-status", "Trying each alone: " + Demo.NAMES[name] + "…");
    attempt(name, function (opened, echoed, why) {
      found[name] = { open: opened, echo: echoed, why: why };
      examine(index + 1);
    });
  }

  /** One session over one transport: done(milliseconds to open, to the echo, why not). */
  function attempt(name, done) {
    var began = Demo.now(), opened = null, echoes = [], sent, timer, one, answer;
    function end(why) {
      if (!done) return;
      clearTimeout(timer);
      if (one) {
        one.onopen = one.onmessage = one.onclose = null;
        one.close();
      }
      answer = done;
      done = null;
      setTimeout(function () {
        answer(opened, Demo.percentile(echoes, 0.5), why);
      }, 50);
    }
    function ask() {
      sent = Demo.now();
      one.send("?");
    }
    timer = setTimeout(function () {
      end(opened === null ? "it did not open within " + PATIENCE / 1000 + " s" : "no echo came within " + PATIENCE / 1000 + " s");
    }, PATIENCE);
    try {
      one = new Realtime(address(), { transports: [name], upgrade: false });
    } catch (error) {
      end(error.message);
      return;
    }
    if (one.readyState === 3) {
      end(whyNot(one, name) || "this browser can’t run it");
      return;
    }
    one.onopen = function () {
      opened = Demo.now() - began;
      ask();
    };
    one.onmessage = function () {
      echoes.push(Demo.now() - sent);
      if (echoes.length < ECHOES) ask();
      else end("");
    };
    one.onclose = function (event) {
      end(whyNot(one, name) || event.reason.replace(/^no endpoint: \w+: /, "") || "code " + event.code);
    };
  }

  function whyNot(session, name) {
    for (var i = 0, rows = session.negotiation; i < rows.length; i++) {
      if (rows[i].name === name && rows[i].verdict === "refused") return rows[i].reason;
    }
    return "";
  }

  // -- what came out ---------------------------------------------------------------------------------------------------------

  function draw() {
    var ladder = byId("ladder"), slowest = 0, names = [], i, row;
    for (i = 0; i < table.length; i++) if (HOW[table[i].name]) names.push(table[i].name);
    for (i = 0; i < config.transports.length; i++) if (names.indexOf(config.transports[i]) < 0) names.push(config.transports[i]);
    for (i = 0; i < names.length; i++) if (found[names[i]]) slowest = Math.max(slowest, found[names[i]].echo || 0);
    Demo.clear(ladder);
    for (i = 0; i < names.length; i++) {
      row = told(names[i]);
      ladder.appendChild(rung(names[i], row, slowest));
    }
    say("why-verdict", verdict());
    Demo.show("why-result", true);
  }

  function told(name) {
    for (var i = 0; i < table.length; i++) if (table[i].name === name) return table[i];
    return { name: name, verdict: "unknown", reason: "" };
  }

  /** What carries, and what was known before anything was tried. */
  function verdict() {
    var words = [], allowed = 0, demoted = [], i;
    for (i = 0; i < path.length; i++) {
      if (!path[i].name) words.push("No session: " + path[i].reason);
      else words.push((i ? "then " : "") + Demo.NAMES[path[i].name] + " carries after " + Demo.figure(path[i].after) + " ms" +
        (i && path[i].reason ? " (" + path[i].reason + ")" : ""));
    }
    for (i = 0; i < table.length; i++) {
      if (table[i].verdict !== "refused") allowed++;
      if (table[i].verdict === "demoted") demoted.push(Demo.NAMES[table[i].name] || table[i].name);
    }
    return words.join(", ") + ". " + allowed + " are allowed here and known to this browser; the server wants them in this order" +
      (demoted.length ? ", but knows something against " + demoted.join(" and ") : ", and knows nothing against any") + ".";
  }

  function rung(name, row, slowest) {
    var result = found[name], best = fastest(), parts, words, bar;
    parts = [el("div", { "class": "name" }, [
      el("h3", { text: Demo.NAMES[name] }),
      el("span", { "class": "tag", text: row.verdict === "unknown" ? "not told" : row.verdict })
    ])];
    if (!result) words = name === trying ? "being tried…" : "not tried yet";
    else if (result.why) words = "did not get through: " + result.why;
    else {
      words = "open after " + Demo.figure(result.open) + " ms, echo after " + Demo.figure(result.echo) + " ms";
      if (name === best) words += ": the fastest";
      else if (best) words += ": " + times(result.echo / found[best].echo) + " " + Demo.NAMES[best] + "’s";
    }
    parts.push(el("div", { "class": "says" }, [
      el("p", { "class": "evidence" + (result && result.why ? " bad" : ""), text: words }),
      el("p", { "class": "how", text: HOW[name] + (ORDINARY.test(row.reason) ? "" : ". The server says: " + row.reason) })
    ]));
    if (result && result.echo) {
      bar = el("i");
      bar.style.width = (100 * result.echo) / slowest + "%";
      parts.push(el("span", { "class": "time", "aria-hidden": "true" }, [bar]));
    }
    return el("li", { "class": "rung t-" + name + " " + row.verdict }, parts);
  }

  function fastest() {
    var best = "", name;
    for (name in found) if (found[name].echo && (!best || found[name].echo < found[best].echo)) best = name;
    return best;
  }

  function times(factor) {
    return factor < 1.15 ? "about" : (factor < 10 ? factor.toFixed(1) : Math.round(factor)) + " times";
  }

  Demo.whenReady(function (given) {
    config = given;
    byId("why-start").onclick = start;
  });
})();
