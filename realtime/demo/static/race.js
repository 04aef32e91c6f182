/* The race: eight lanes at once, and a ninth where there is WebTransport; or in turn on the page's own port where the others
   can't be reached. It runs by itself, gently, until the visitor touches a control of the page. */
Demo.race = (function () {
  "use strict";
  var byId = Demo.byId, el = Demo.el, say = Demo.say;
  var PARTS = ["open", "p50", "p95", "rate", "requests", "bytes"];
  var TELLING = ["p50", "rate", "requests", "bytes"];
  var SHOWN = 60; // round trips in the line
  var HEIGHT = 24;
  var TURN = 5000; // milliseconds for each lane, where they run in turn
  var GENTLY = { direction: "echo", size: 128, rate: 2 }; // by itself: it moves, and leaves a small machine most of its time
  // A lane opens when the one before it has opened or failed, so that no opening is in another's way; or after so many
  // milliseconds, the WebSocket's longer: it is alone.
  var ALONE = 5000, EACH = 1500;
  var GONE = 3; // counts in a row that failed: then the server is gone, or the race
  var ENOUGH = 3; // round trips, before anybody leads
  var STORED = "realtime demo race"; // the race of this tab: who loads the page anew gives the old one back
  var lanes = [], rows = {}, config, place = null, running = false, byItself = false, touched = false;
  var opening = null, patience, sending, counting, drawing, turning;
  var attempt = null, leaving = [];

  function settings() {
    return {
      direction: byId("race-direction").value,
      size: parseInt(byId("race-size").value, 10),
      rate: parseInt(byId("race-rate").value, 10)
    };
  }

  // -- drawing ----------------------------------------------------------------------------------------------------------

  function build(lane) {
    var row = { figures: {} }, cells, i;
    row.tag = el("span", { "class": "tag", text: "" });
    row.state = el("p", { "class": "state", text: "" });
    row.spark = el("div", { "class": "spark", "aria-hidden": "true" });
    if (document.createElementNS) {
      row.svg = Demo.svg("svg", { viewBox: "0 0 " + (SHOWN - 1) + " " + HEIGHT, preserveAspectRatio: "none" });
      row.line = Demo.svg("polyline", { points: "" });
      row.svg.appendChild(row.line);
      row.spark.appendChild(row.svg);
    }
    cells = [
      el("th", { scope: "row", role: "rowheader", "class": "who" }, [el("span", { text: Demo.NAMES[lane.name] }), row.tag]),
      el("td", { role: "cell", "class": "line" }, [row.spark, row.state])
    ];
    for (i = 0; i < PARTS.length; i++) {
      cells.push((row.figures[PARTS[i]] = el("td", { role: "cell", "class": "figure", text: "—" })));
    }
    row.item = el("tr", { role: "row", "class": "lane t-" + lane.name, id: "lane-" + lane.name }, cells);
    rows[lane.name] = row;
    byId("lane-rows").appendChild(row.item);
  }

  function height(trip) {
    var part = Math.log(Math.max(trip, 1)) / Math.LN10 / 3; // 1 ms to 1 s
    return HEIGHT - 1 - Math.min(part, 1) * (HEIGHT - 2);
  }

  function draw(lane) {
    var row = rows[lane.name], figures = (row.last = lane.figures(config.metered && lane.name !== "webtransport")), trips = lane.trips.slice(-SHOWN);
    var points = [], i;
    for (i = 0; i < PARTS.length; i++) say(row.figures[PARTS[i]], Demo.figure(figures[PARTS[i]]));
    for (i = 0; i < trips.length; i++) points.push(SHOWN - trips.length + i + "," + height(trips[i]).toFixed(1));
    if (row.line) row.line.setAttribute("points", points.join(" "));
  }

  function changed(lane) {
    var row = rows[lane.name];
    say(row.state, lane.state === "open" ? "" : lane.state);
    row.state.className = "state" + (lane.bad ? " bad" : "");
    row.item.className = "lane t-" + lane.name + (lane.isOpen() ? " open" : "") + (lane.bad ? " out" : "");
    draw(lane);
    tell();
    if (opening !== null && lanes[opening] === lane && (lane.isOpen() || lane.bad)) settled(opening);
  }

  function tell() {
    var open = 0, i;
    if (!running || !place || place.inTurn) return;
    for (i = 0; i < lanes.length; i++) if (lanes[i].isOpen()) open++;
    if (opening !== null) say("race-status", "Opening, the WebSocket first and alone…");
    else if (byItself) say("race-status", "Runs by itself, gently, until touched.");
    else say("race-status", open + " of " + lanes.length + " lanes are open, each on its own port.");
  }

  // -- the winner ---------------------------------------------------------------------------------------------------------

  /** Of each column that tells transports apart the best value. What opening took is one event, and no more. */
  function mark() {
    var i, k, part, best, worst, value, most, own;
    for (i = 0; i < TELLING.length; i++) {
      part = TELLING[i];
      most = part === "rate";
      best = worst = null;
      for (k = 0; k < lanes.length; k++) {
        value = rows[lanes[k].name].last && rows[lanes[k].name].last[part];
        if (value === null || value === undefined || lanes[k].bad) continue;
        if (best === null || (most ? value > best : value < best)) best = value;
        if (worst === null || (most ? value < worst : value > worst)) worst = value;
      }
      for (k = 0; k < lanes.length; k++) {
        own = rows[lanes[k].name];
        value = own.last && own.last[part];
        // Rates that all keep up with differ by nothing that counts.
        own.figures[part].className = "figure" + (best !== null && value === best && Math.abs(worst - best) > 0.1 * worst && !lanes[k].bad ? " best" : "");
      }
    }
  }

  /** How long there and back; one way, how long between two that arrive. */
  function pace(one, direction) {
    return direction === "echo" ? one.p50 : 1 / one.rate;
  }

  /** The first or, with `last`, the last of those known: by pace, and where that is about the same by what one costs. */
  function pick(known, direction, last) {
    var best = known[0], near = direction === "echo" ? 1.33 : 1.05, picked, i, one;
    for (i = 1; i < known.length; i++) if ((pace(known[i], direction) < pace(best, direction)) !== last) best = known[i];
    picked = best;
    for (i = 0; i < known.length; i++) {
      one = known[i];
      if (Math.max(pace(one, direction) / pace(best, direction), pace(best, direction) / pace(one, direction)) > near) continue;
      if (one.bytes !== null && picked.bytes !== null && (last ? one.bytes > picked.bytes : one.bytes < picked.bytes)) picked = one;
    }
    return picked;
  }

  function judge() {
    var direction = (byItself ? GENTLY : settings()).direction, known = [], leader, first, last, i, figures;
    var said = running ? ["leads", "takes"] : [byItself ? "led" : "won", "took"];
    for (i = 0; opening === null && i < lanes.length; i++) {
      figures = rows[lanes[i].name].last;
      if (!figures || lanes[i].bad || (direction === "echo" ? lanes[i].trips.length < ENOUGH : !figures.rate)) continue;
      known.push({ name: lanes[i].name, p50: figures.p50, rate: figures.rate, bytes: figures.bytes });
    }
    first = pick(known, direction, false);
    last = pick(known, direction, true);
    leader = known.length > 1 ? first.name : null;
    for (i = 0; i < lanes.length; i++) {
      say(rows[lanes[i].name].tag, lanes[i].name === leader ? said[0] : "");
    }
    mark();
    if (leader === null) say("race-winner", "");
    else say("race-winner", Demo.NAMES[first.name] + " " + said[0] + ": " + words(first, direction) + ". " +
        Demo.NAMES[last.name] + " " + said[1] + " " + words(last, direction) + ".");
  }

  function words(one, direction) {
    var cost = one.bytes === null ? "" : Demo.figure(one.bytes) + " bytes a message";
    if (direction === "echo") return Demo.figure(one.p50) + " ms there and back" + (cost && ", " + cost);
    return Demo.figure(one.rate) + " messages a second" + (cost && ", " + cost);
  }

  // -- where the lanes are ------------------------------------------------------------------------------------------------

  /** Takes lanes at the server and finds out whether their ports can be reached: done(problem, place). */
  function take(done) {
    Demo.ask("POST", "/demo/race", function (problem, race) {
      var left, reached = 0, names = [], taken, i, name;
      if (problem) {
        done(problem, null);
        return;
      }
      Demo.remember(STORED, race.token);
      for (i = 0; i < config.offered.length; i++) names.push(config.offered[i]);
      left = config.lanes.length; // as many as there are names, or none
      taken = { token: race.token, urls: {}, inTurn: true };
      for (name in race.paths) taken.urls[name] = location.protocol + "//" + location.host + race.paths[name];
      if (!left) {
        done("", taken);
        return;
      }
      for (i = 0; i < names.length; i++) ask(i);
      function ask(index) {
        Demo.probe(Demo.at(config.lanes[index]) + "/demo/probe", function (yes) {
          if (yes) reached++;
          if (--left) return;
          taken.inTurn = reached < names.length;
          for (var k = 0; !taken.inTurn && k < names.length; k++) {
            taken.urls[names[k]] = Demo.at(config.lanes[k]) + race.paths[names[k]];
          }
          done("", taken);
        });
      }
    });
  }

  /** The server's newest counts, to every lane of `which`. */
  function count(token, which, done) {
    Demo.ask("GET", "/demo/race/" + token, function (problem, data) {
      for (var i = 0; data && i < which.length; i++) which[i].count(data.lanes[which[i].name], data.at);
      if (done) done(problem);
    });
  }

  /** What asks for the counts of this race, again and again: one request at a time. One that fails is no news yet. */
  function recount(taken) {
    var asking = false, failures = 0;
    return function () {
      if (asking) return;
      asking = true;
      count(taken.token, lanes, function (problem) {
        asking = false;
        if (place !== taken) return;
        failures = problem ? failures + 1 : 0;
        if (failures === GONE) stop("It was stopped: " + problem + ".");
        else judge();
      });
    };
  }

  // -- running --------------------------------------------------------------------------------------------------------------

  function buttons() {
    byId("race-start").disabled = (running && !byItself) || Demo.fair.isRunning();
    byId("race-stop").disabled = !running;
    byId("fair-start").disabled = (running && !byItself) || Demo.fair.isRunning();
    byId("fair-stop").disabled = !Demo.fair.isRunning();
  }

  function pump() {
    for (var i = 0; i < lanes.length; i++) lanes[i].send(Demo.now());
  }

  /** `alone`: nobody has asked for it, so it goes gently. */
  function start(alone) {
    var asked = (attempt = {}), i;
    running = true;
    byItself = alone;
    for (i = 0; i < lanes.length; i++) {
      lanes[i].reset();
      changed(lanes[i]);
    }
    judge();
    buttons();
    say("race-status", "Taking lanes…");
    take(function (problem, taken) {
      if (!running || asked !== attempt) {
        if (taken) leave(taken.token);
        return;
      }
      if (problem) {
        stop("It could not start: " + problem + ".");
        return;
      }
      place = taken;
      sending = setInterval(pump, 10);
      counting = setInterval(recount(taken), 1000);
      drawing = setInterval(function () {
        for (var i = 0; i < lanes.length; i++) draw(lanes[i]);
      }, 250);
      if (place.inTurn) turn(0);
      else quiet(0);
    });
  }

  /** Waits for the sessions of the race before: their good-byes would be in the way of the first opening. */
  function quiet(rounds) {
    var i, left = 0;
    for (i = 0; i < leaving.length; i++) if (leaving[i].readyState !== 3) left++;
    if (left && rounds < 30) {
      patience = setTimeout(function () {
        quiet(rounds + 1);
      }, 50);
      return;
    }
    leaving = [];
    openNext(0);
  }

  /** Opens a lane, and the others after it. The race begins when all are at the start. */
  function openNext(index) {
    var i;
    if (index === lanes.length) {
      opening = null;
      for (i = 0; i < lanes.length; i++) lanes[i].go();
      tell();
      return;
    }
    opening = index;
    patience = setTimeout(function () {
      settled(index);
    }, index ? EACH : ALONE);
    open(lanes[index], true);
  }

  /** A lane is open, or out, or takes too long. */
  function settled(index) {
    if (opening !== index) return;
    clearTimeout(patience);
    opening = -1; // none, for this moment
    patience = setTimeout(function () {
      openNext(index + 1);
    }, 0);
  }

  function open(lane, held) {
    if (!place.urls[lane.name]) {
      lane.reset();
      lane.over("not offered by this server", changed);
    } else lane.open(place.urls[lane.name], byItself ? GENTLY : settings(), changed, held);
  }

  function turn(index) {
    var lane = lanes[index % lanes.length];
    say("race-status", "The lanes’ own ports can’t be reached from here, so lanes run in turn on this page’s port. Now: " + Demo.NAMES[lane.name] + ".");
    open(lane, false);
    turning = setTimeout(function () {
      lane.close();
      changed(lane);
      turn(index + 1);
    }, lane.bad ? 100 : TURN);
  }

  function stop(why) {
    var i, token = place && place.token;
    clearInterval(sending);
    clearInterval(counting);
    clearInterval(drawing);
    clearTimeout(turning);
    clearTimeout(patience);
    opening = null;
    running = false;
    for (i = 0; i < lanes.length; i++) {
      if (lanes[i].session) leaving.push(lanes[i].session);
      lanes[i].close();
      changed(lanes[i]);
    }
    judge();
    byItself = false;
    if (token) leave(token);
    place = null;
    say("race-status", why);
    buttons();
  }

  /** Gives the lanes back, when their sessions had the time to say good-bye. */
  function leave(token) {
    setTimeout(function () {
      Demo.ask("POST", "/demo/race/" + token + "/leave", function () {});
    }, 3000);
  }

  // -- by itself --------------------------------------------------------------------------------------------------------------

  /** Whether nothing speaks against moving things that nobody has asked for. */
  function mayMove() {
    return !touched && !running && !document.hidden &&
      !(window.matchMedia && window.matchMedia("(prefers-reduced-motion: reduce)").matches);
  }

  /** A control was touched: from now on the page does what it is told to. */
  function touch(event) {
    var target = event.target;
    while (target && target.nodeType === 1 && !/^(button|select|input|textarea|summary)$/i.test(target.nodeName)) target = target.parentNode;
    if (!target || target.nodeType !== 1) return;
    touched = true;
    if (running && byItself) stop("You touched something: it stopped.");
  }

  function seen() {
    if (document.hidden && running && byItself) stop("It waits until somebody looks.");
    else if (mayMove()) start(true);
  }

  /** The page says how many transports there are, and has a colour of each. */
  function nine() {
    var stripes = byId("stripes");
    say("transport-count", "Nine");
    say("other-count", "eight");
    document.title = document.title.replace("eight", "nine");
    stripes.className += " nine";
    stripes.appendChild(Demo.el("i", { "class": "t-webtransport" }));
  }

  Demo.whenReady(function (found) {
    var i, controls = ["race-direction", "race-size", "race-rate"], old = Demo.remember(STORED, "");
    config = found;
    if (old) Demo.ask("POST", "/demo/race/" + old + "/leave", function () {});
    for (i = 0; i < config.transports.length; i++) lanes.push(new Demo.Lane(config.transports[i]));
    // It has no sockets at which it could be metered: its datagrams are all on one.
    if (config.webtransport && window.WebTransport && window.RealtimeWebTransport) {
      lanes.push(new Demo.Lane("webtransport"));
      nine();
    }
    for (i = 0; i < lanes.length; i++) build(lanes[i]);
    byId("race-form").onsubmit = function () {
      if (running && byItself) stop("");
      if (!running) start(false);
      return false;
    };
    byId("race-stop").onclick = function () {
      if (running) stop("Stopped.");
    };
    function apply() {
      for (var i = 0; running && !byItself && i < lanes.length; i++) lanes[i].set(settings());
    }
    for (i = 0; i < controls.length; i++) byId(controls[i]).onchange = apply;
    byId("main").addEventListener("click", touch, false);
    byId("main").addEventListener("change", touch, false);
    document.addEventListener("visibilitychange", seen, false);
    buttons();
    if (mayMove()) start(true);
  });

  return {
    settings: settings,
    take: take,
    leave: leave,
    count: count,
    buttons: buttons,
    lanes: lanes,
    isRunning: function () {
      return running && !byItself;
    },
    runsByItself: function () {
      return running && byItself;
    }
  };
})();
