/* The race: eight lanes at once, or in turn on the page's own port where the others can't be reached. */
Demo.race = (function () {
  "use strict";
  var byId = Demo.byId, el = Demo.el, say = Demo.say;
  var PARTS = [
    ["open", "open, ms"],
    ["p50", "p50, ms"],
    ["p95", "p95, ms"],
    ["rate", "messages/s"],
    ["requests", "requests/msg"],
    ["bytes", "bytes/msg"]
  ];
  var SHOWN = 60; // round trips in the line
  var HEIGHT = 44;
  // Lanes take turns within the pause between messages; what sends by frames and forms keeps the page busy for longer.
  var HEAVY = /^(htmlfile|jsonp)$/;
  var SLOTS = 10;
  var TURN = 5000; // milliseconds for each lane, where they run in turn
  var lanes = [], rows = {}, config, place = null, running = false, sending, counting, drawing, turning;

  function settings() {
    return {
      direction: byId("race-direction").value,
      size: parseInt(byId("race-size").value, 10),
      rate: parseInt(byId("race-rate").value, 10)
    };
  }

  // -- drawing ----------------------------------------------------------------------------------------------------------

  function build(lane) {
    var row = { figures: {} }, list = el("dl"), i, k, value, line;
    for (i = 0; i < PARTS.length; i++) {
      value = row.figures[PARTS[i][0]] = el("dd", { text: "—" });
      list.appendChild(el("div", {}, [el("dt", { text: PARTS[i][1] }), value]));
    }
    row.state = el("p", { "class": "state", text: "" });
    row.spark = el("div", { "class": "spark", "aria-hidden": "true" });
    if (document.createElementNS) {
      row.svg = Demo.svg("svg", { viewBox: "0 0 " + (SHOWN - 1) + " " + HEIGHT, preserveAspectRatio: "none" });
      for (k = 0; k <= 4; k++) {
        line = HEIGHT - (k * HEIGHT) / 4;
        row.svg.appendChild(Demo.svg("line", { x1: 0, x2: SHOWN - 1, y1: line, y2: line }));
      }
      row.line = Demo.svg("polyline", { points: "" });
      row.svg.appendChild(row.line);
      row.spark.appendChild(row.svg);
    }
    row.item = el("li", { "class": "lane t-" + lane.name, id: "lane-" + lane.name }, [
      el("div", {}, [el("h3", { text: Demo.NAMES[lane.name] }), row.state]),
      row.spark,
      list
    ]);
    rows[lane.name] = row;
    byId("lanes").appendChild(row.item);
  }

  function height(trip) {
    var part = Math.log(Math.max(trip, 1)) / Math.LN10 / 4; // 1 ms to 10 s
    return HEIGHT - Math.min(part, 1) * (HEIGHT - 2) - 1;
  }

  function draw(lane) {
    var row = rows[lane.name], figures = lane.figures(config.metered), trips = lane.trips.slice(-SHOWN), points = [], i;
    for (i = 0; i < PARTS.length; i++) say(row.figures[PARTS[i][0]], Demo.figure(figures[PARTS[i][0]]));
    for (i = 0; i < trips.length; i++) points.push(SHOWN - trips.length + i + "," + height(trips[i]).toFixed(1));
    if (row.line) row.line.setAttribute("points", points.join(" "));
  }

  function changed(lane) {
    var row = rows[lane.name];
    say(row.state, lane.state);
    row.state.className = "state" + (lane.bad ? " bad" : "");
    row.item.className = "lane t-" + lane.name + (lane.isOpen() ? " open" : "");
    draw(lane);
    tell();
  }

  function tell() {
    var open = 0, bad = 0, i;
    if (!running || place.inTurn) return;
    for (i = 0; i < lanes.length; i++) {
      if (lanes[i].isOpen()) open++;
      else if (lanes[i].bad) bad++;
    }
    if (open + bad < lanes.length) say("race-status", "Opening…");
    else say("race-status", open + " of " + lanes.length + " lanes are open, each on its own port.");
  }

  // -- where the lanes are ------------------------------------------------------------------------------------------------

  /** Takes lanes at the server and finds out whether their ports can be reached: done(problem, place). */
  function take(done) {
    Demo.ask("POST", "/demo/race", function (problem, race) {
      var left, reached = 0, names = [], i, name;
      if (problem) {
        done(problem, null);
        return;
      }
      for (i = 0; i < config.offered.length; i++) names.push(config.offered[i]);
      left = config.lanes.length; // as many as there are names, or none
      place = { token: race.token, urls: {}, inTurn: true };
      for (name in race.paths) place.urls[name] = location.protocol + "//" + location.host + race.paths[name];
      if (!left) {
        done("", place);
        return;
      }
      for (i = 0; i < names.length; i++) ask(i);
      function ask(index) {
        Demo.probe(Demo.at(config.lanes[index]) + "/demo/probe", function (yes) {
          if (yes) reached++;
          if (--left) return;
          place.inTurn = reached < names.length;
          for (var k = 0; !place.inTurn && k < names.length; k++) {
            place.urls[names[k]] = Demo.at(config.lanes[k]) + race.paths[names[k]];
          }
          done("", place);
        });
      }
    });
  }

  /** The server's newest counts, to every lane of `which`. */
  function count(which, done) {
    Demo.ask("GET", "/demo/race/" + place.token, function (problem, data) {
      for (var i = 0; data && i < which.length; i++) which[i].count(data.lanes[which[i].name], data.at);
      if (done) done(problem);
    });
  }

  // -- running --------------------------------------------------------------------------------------------------------------

  function buttons() {
    byId("race-start").disabled = running || Demo.fair.isRunning();
    byId("race-stop").disabled = !running;
    byId("fair-start").disabled = running || Demo.fair.isRunning();
    byId("fair-stop").disabled = !Demo.fair.isRunning();
  }

  function pump() {
    for (var i = 0; i < lanes.length; i++) lanes[i].send(Demo.now());
  }

  function start() {
    running = true;
    buttons();
    say("race-status", "Taking lanes…");
    take(function (problem) {
      var i;
      if (!running) return;
      if (problem) {
        stop("It could not start: " + problem + ".");
        return;
      }
      sending = setInterval(pump, 10);
      counting = setInterval(function () {
        count(lanes, function (problem) {
          if (problem && running) stop("It was stopped: " + problem + ".");
        });
      }, 1000);
      drawing = setInterval(function () {
        for (var i = 0; i < lanes.length; i++) draw(lanes[i]);
      }, 500);
      if (place.inTurn) turn(0);
      else for (i = 0; i < lanes.length; i++) open(lanes[i]);
    });
  }

  function open(lane) {
    if (!place.urls[lane.name]) {
      lane.reset();
      lane.over("not offered by this server", changed);
    } else lane.open(place.urls[lane.name], settings(), changed);
  }

  function turn(index) {
    var lane = lanes[index % lanes.length];
    say("race-status", "The lanes’ own ports can’t be reached from here, so lanes run in turn on this page’s port. Now: " + Demo.NAMES[lane.name] + ".");
    open(lane);
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
    running = false;
    for (i = 0; i < lanes.length; i++) {
      lanes[i].close();
      changed(lanes[i]);
    }
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

  Demo.whenReady(function (found) {
    var i, slot = 0, controls = ["race-direction", "race-size", "race-rate"];
    config = found;
    for (i = 0; i < config.transports.length; i++) {
      lanes.push(new Demo.Lane(config.transports[i]));
      lanes[i].phase = slot / SLOTS;
      slot += HEAVY.test(lanes[i].name) ? 2 : 1;
      build(lanes[i]);
    }
    byId("race-form").onsubmit = function () {
      if (!running) start();
      return false;
    };
    byId("race-stop").onclick = function () {
      stop("Stopped. The figures are those of the race’s end.");
    };
    function apply() {
      for (var i = 0; running && i < lanes.length; i++) lanes[i].set(settings());
    }
    for (i = 0; i < controls.length; i++) byId(controls[i]).onchange = apply;
    buttons();
  });

  return {
    settings: settings,
    take: take,
    leave: leave,
    count: count,
    buttons: buttons,
    lanes: lanes,
    isRunning: function () {
      return running;
    }
  };
})();
