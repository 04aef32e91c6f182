/* The fair comparison: each transport alone, in turn, and what came out: charts, a table, and files to take away. */
Demo.fair = (function () {
  "use strict";
  var byId = Demo.byId, el = Demo.el, say = Demo.say;
  var COLUMNS = [
    ["open", "Open", "ms", "open, ms"],
    ["p50", "Round trip, p50", "ms", "p50, ms"],
    ["p95", "Round trip, p95", "ms", "p95, ms"],
    ["rate", "Messages per second", "", "messages/s"],
    ["requests", "Requests per message", "", "requests/msg"],
    ["bytes", "Bytes per message", "", "bytes/msg"]
  ];
  var INKS = {
    websocket: "#0b7a5b", sse: "#2563c9", xhr_streaming: "#0a7791", multipart: "#6b4fc4", htmlfile: "#a03d92",
    long_polling: "#a85508", polling: "#b3352f", jsonp: "#6d6a17"
  };
  var OPEN_PATIENCE = 15000;
  var running = false, current = null, timers = [], token, results = null, config;

  function later(what, milliseconds) {
    timers.push(setTimeout(what, milliseconds));
  }

  function start() {
    var how = Demo.race.settings(), seconds = parseInt(byId("fair-seconds").value, 10);
    running = true;
    Demo.race.buttons();
    say("fair-status", "Taking lanes…");
    results = null;
    Demo.race.take(function (problem, place) {
      if (!running) {
        if (place) Demo.race.leave(place.token);
        return;
      }
      if (problem) {
        end("It could not start: " + problem + ".");
        return;
      }
      token = place.token;
      next(0, place, how, seconds, []);
    });
  }

  function next(index, place, how, seconds, rows) {
    var name = config.transports[index], lane, pump, waits, row;
    if (index === config.transports.length) {
      results = { rows: rows, how: how, seconds: seconds, inTurn: place.inTurn, when: new Date() };
      draw();
      end("Done: " + rows.length + " transports, " + seconds + " seconds each" + (place.inTurn ? ", on this page’s port." : ", each on its own port."));
      return;
    }
    row = { name: name, figures: {}, why: "" };
    rows.push(row);
    if (!place.urls[name]) {
      row.why = "not offered by this server";
      next(index + 1, place, how, seconds, rows);
      return;
    }
    say("fair-status", Demo.NAMES[name] + ", " + (index + 1) + " of " + config.transports.length + "…");
    lane = current = new Demo.Lane(name);
    waits = true;
    later(function () {
      if (waits) finish("it did not open within " + OPEN_PATIENCE / 1000 + " s");
    }, OPEN_PATIENCE);
    lane.open(place.urls[name], how, function () {
      if (lane.bad && waits !== null) finish(lane.state);
      else if (lane.isOpen() && waits) {
        waits = false;
        pump = setInterval(function () {
          lane.send(Demo.now());
        }, 10);
        // The first second is the warm-up.
        later(function () {
          lane.trips = [];
          Demo.race.count(token, [lane], function () {
            later(function () {
              Demo.race.count(token, [lane], function (problem) {
                row.figures = lane.figures(config.metered);
                finish(problem);
              });
            }, seconds * 1000);
          });
        }, 1000);
      }
    });
    function finish(why) {
      if (waits === null || !running) return;
      waits = null;
      clearInterval(pump);
      row.why = why || "";
      if (why) row.figures = { open: lane.opened };
      lane.close();
      current = null;
      later(function () {
        next(index + 1, place, how, seconds, rows);
      }, 400);
    }
    timers.push({ pump: function () { clearInterval(pump); } });
  }

  function end(why) {
    var i;
    for (i = 0; i < timers.length; i++) {
      if (timers[i].pump) timers[i].pump();
      else clearTimeout(timers[i]);
    }
    timers = [];
    if (current) current.close();
    current = null;
    if (token) Demo.race.leave(token);
    token = null;
    running = false;
    say("fair-status", why);
    Demo.race.buttons();
  }

  // -- what came out ----------------------------------------------------------------------------------------------------

  function title() {
    var how = results.how, ways = { echo: "there and back", down: "down only", up: "up only" };
    return how.size + "-byte messages, " + ways[how.direction] + ", " + how.rate + " per second wanted, " + results.seconds +
      " s for each transport alone" + (results.inTurn ? ", on one port" : "");
  }

  function draw() {
    var body = byId("fair-table").tBodies[0], charts = byId("charts"), i, k, row, cells, chart;
    Demo.clear(body);
    Demo.clear(charts);
    say("fair-caption", title());
    for (i = 0; i < results.rows.length; i++) {
      row = results.rows[i];
      cells = [el("th", { scope: "row", role: "rowheader", "class": "t-" + row.name, text: Demo.NAMES[row.name] })];
      for (k = 0; k < COLUMNS.length; k++) {
        // On a phone rows are blocks: roles keep them rows, labels say what is what.
        cells.push(el("td", { role: "cell", "data-label": COLUMNS[k][3], text: Demo.figure(row.figures[COLUMNS[k][0]]) }));
      }
      body.appendChild(el("tr", { role: "row" }, cells));
      if (row.why) body.appendChild(el("tr", { role: "row" }, [el("td", { role: "cell", colspan: 7, "class": "words quiet", text: Demo.NAMES[row.name] + ": " + row.why })]));
    }
    for (k = 0; k < COLUMNS.length; k++) {
      chart = el("div", { "class": "chart" }, [el("h4", { text: COLUMNS[k][1] + (COLUMNS[k][2] ? ", " + COLUMNS[k][2] : "") })]);
      for (i = 0; i < results.rows.length; i++) chart.appendChild(bar(results.rows[i], COLUMNS[k][0]));
      charts.appendChild(chart);
    }
    Demo.show("fair", true);
    Demo.show("take-text", false);
  }

  function most(key) {
    var largest = 0, i;
    for (i = 0; i < results.rows.length; i++) largest = Math.max(largest, results.rows[i].figures[key] || 0);
    return largest;
  }

  function bar(row, key) {
    var value = row.figures[key], fill = el("i", { "class": "fill" }), track = el("span", { "class": "track" });
    if (value) {
      fill.style.width = (100 * value) / most(key) + "%";
      track.appendChild(fill);
    }
    return el("div", { "class": "bar t-" + row.name }, [
      el("span", { "class": "who", text: Demo.NAMES[row.name] }),
      track,
      el("span", { "class": "many", text: Demo.figure(value) })
    ]);
  }

  function plain(value) {
    return value === null || value === undefined || isNaN(value) ? "" : String(Math.round(value * 1000) / 1000);
  }

  function csv() {
    var lines = ["transport,open_ms,p50_ms,p95_ms,messages_per_second,requests_per_message,bytes_per_message,remark"], i, k, row, cells;
    for (i = 0; i < results.rows.length; i++) {
      row = results.rows[i];
      cells = [row.name];
      for (k = 0; k < COLUMNS.length; k++) cells.push(plain(row.figures[COLUMNS[k][0]]));
      cells.push(row.why ? '"' + row.why.replace(/"/g, '""') + '"' : "");
      lines.push(cells.join(","));
    }
    return lines.join("\r\n") + "\r\n";
  }

  function markdown() {
    var lines = [
      "**" + title() + "**", "",
      "| transport | open, ms | p50, ms | p95, ms | messages/s | requests per message | bytes per message |",
      "|---|---:|---:|---:|---:|---:|---:|"
    ], i, k, row, cells;
    for (i = 0; i < results.rows.length; i++) {
      row = results.rows[i];
      cells = [row.name];
      for (k = 0; k < COLUMNS.length; k++) cells.push(Demo.figure(row.figures[COLUMNS[k][0]]).replace("\u202f", " "));
      lines.push("| " + cells.join(" | ") + " |");
    }
    lines.push("", "Measured " + results.when.toISOString() + " with realtime " + config.version + " in " + navigator.userAgent +
      ". Bytes are TCP payload at the server’s sockets in both directions, headers counted; an echo is two messages.");
    for (i = 0; i < results.rows.length; i++) if (results.rows[i].why) lines.push("", results.rows[i].name + ": " + results.rows[i].why);
    return lines.join("\n") + "\n";
  }

  /** The charts as a picture, light whatever the page is. */
  function paint() {
    var canvas = document.createElement("canvas"), rows = results.rows, i, k, x, y, pen, largest, value;
    canvas.width = 1200;
    canvas.height = 120 + Math.ceil(COLUMNS.length / 3) * (70 + rows.length * 26);
    pen = canvas.getContext && canvas.getContext("2d");
    if (!pen) return null;
    pen.fillStyle = "#faf9f5";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = "#191c20";
    pen.font = "bold 26px sans-serif";
    pen.fillText("realtime: eight transports compared", 40, 50);
    pen.font = "16px sans-serif";
    pen.fillText(title() + " · " + results.when.toISOString().slice(0, 10), 40, 78);
    for (k = 0; k < COLUMNS.length; k++) {
      x = 40 + (k % 3) * 385;
      y = 125 + Math.floor(k / 3) * (70 + rows.length * 26);
      largest = most(COLUMNS[k][0]);
      pen.textAlign = "left";
      pen.fillStyle = "#191c20";
      pen.font = "bold 16px sans-serif";
      pen.fillText(COLUMNS[k][1] + (COLUMNS[k][2] ? ", " + COLUMNS[k][2] : ""), x, y);
      pen.font = "14px sans-serif";
      for (i = 0; i < rows.length; i++) {
        value = rows[i].figures[COLUMNS[k][0]];
        pen.textAlign = "left";
        pen.fillStyle = INKS[rows[i].name];
        pen.fillText(Demo.NAMES[rows[i].name], x, y + 26 + i * 26);
        if (value) pen.fillRect(x + 110, y + 14 + i * 26, Math.max(2, (170 * value) / largest), 13);
        pen.textAlign = "right";
        pen.fillStyle = "#191c20";
        pen.fillText(Demo.figure(value), x + 345, y + 26 + i * 26);
      }
    }
    return canvas;
  }

  /** Hands a file to the visitor; where the browser can't, its text to copy. */
  function hand(name, type, text) {
    var blob = null;
    try {
      blob = new Blob([text], { type: type });
    } catch (error) {
      blob = null; // an old engine: the text is shown instead
    }
    if (!save(name, blob)) {
      byId("take-area").value = text;
      Demo.show("take-text", true);
      byId("take-area").select();
    }
  }

  function save(name, blob) {
    var link = document.createElement("a"), urls = window.URL;
    if (!blob || !urls || !urls.createObjectURL || !("download" in link)) return false;
    link.href = urls.createObjectURL(blob);
    link.download = name;
    document.body.appendChild(link);
    link.click();
    document.body.removeChild(link);
    setTimeout(function () {
      urls.revokeObjectURL(link.href);
    }, 60000);
    return true;
  }

  Demo.whenReady(function (found) {
    var canvas = document.createElement("canvas");
    config = found;
    byId("fair-form").onsubmit = function () {
      if (!running && !Demo.race.isRunning()) start();
      return false;
    };
    byId("fair-stop").onclick = function () {
      end("Stopped before its end: nothing to show.");
    };
    byId("take-csv").onclick = function () {
      hand("realtime-comparison.csv", "text/csv", csv());
    };
    byId("take-md").onclick = function () {
      hand("realtime-comparison.md", "text/markdown", markdown());
    };
    byId("take-png").onclick = function () {
      paint().toBlob(function (blob) {
        save("realtime-comparison.png", blob);
      });
    };
    Demo.show("take-png", !!canvas.toBlob);
  });

  return {
    isRunning: function () {
      return running;
    },
    csv: csv,
    markdown: markdown
  };
})();
