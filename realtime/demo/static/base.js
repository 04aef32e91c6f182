/* What all parts of the page share: elements, requests for JSON, figures in words, and the one notice. ES5, no builds. */
var Demo = (function () {
  "use strict";
  var NAMES = {
    websocket: "WebSocket",
    sse: "SSE",
    xhr_streaming: "XHR streaming",
    multipart: "Multipart",
    htmlfile: "htmlfile",
    long_polling: "Long-polling",
    polling: "Polling",
    jsonp: "JSONP",
    webtransport: "WebTransport"
  };
  var ready = [], config = null;

  function byId(id) {
    return document.getElementById(id);
  }

  /** An element with attributes ("text" is its text) and children. */
  function el(tag, attributes, children) {
    var element = document.createElement(tag), name, i;
    for (name in attributes) {
      if (name === "text") element.appendChild(document.createTextNode(attributes.text));
      else if (name === "class") element.className = attributes["class"];
      else element.setAttribute(name, attributes[name]);
    }
    for (i = 0; children && i < children.length; i++) element.appendChild(children[i]);
    return element;
  }

  function svg(tag, attributes) {
    var element = document.createElementNS("http://www.w3.org/2000/svg", tag), name;
    for (name in attributes) element.setAttribute(name, attributes[name]);
    return element;
  }

  function clear(element) {
    while (element.firstChild) element.removeChild(element.firstChild);
  }

  /** Writes a text only when it is another one: nothing is announced, and nothing is drawn, for nothing. */
  function say(element, text) {
    if (typeof element === "string") element = byId(element);
    if (element.textContent !== text) element.textContent = text;
  }

  function show(element, shown) {
    if (typeof element === "string") element = byId(element);
    element.hidden = !shown;
    if (shown) element.removeAttribute("hidden");
    else element.setAttribute("hidden", "");
  }

  /** Asks for JSON; `done(problem, data)`, where a problem is a sentence. */
  function ask(method, path, done) {
    var xhr = new XMLHttpRequest(), over = false;
    function end() {
      var data = null, gone;
      if (over || xhr.readyState !== 4) return;
      over = true;
      gone = !xhr.status;
      // Only the demo's own server, and only while somebody asks it.
      if (path.charAt(0) === "/") notice(gone ? "The server does not answer. When it is back, go on here or load the page again." : "");
      try {
        data = JSON.parse(xhr.responseText);
      } catch (error) {
        data = null;
      }
      if (gone) done("the server does not answer", null);
      else if (xhr.status !== 200 || !data) done((data && data.error) || "the server answered " + xhr.status, null);
      else done("", data);
    }
    xhr.onreadystatechange = end;
    xhr.open(method, path, true);
    if (method === "POST") xhr.setRequestHeader("X-Realtime-Demo", "1");
    xhr.timeout = 70000;
    xhr.send();
    return xhr;
  }

  /** Whether a port answers this page: `done(true or false)`, within some seconds. */
  function probe(url, done) {
    var xhr = new XMLHttpRequest(), over = false, timer;
    function end(yes) {
      if (over) return;
      over = true;
      clearTimeout(timer);
      xhr.onreadystatechange = null;
      if (!yes) xhr.abort();
      done(yes);
    }
    xhr.onreadystatechange = function () {
      if (xhr.readyState === 4) end(xhr.status === 200 || xhr.status === 204);
    };
    timer = setTimeout(function () {
      end(false);
    }, 4000);
    try {
      xhr.open("GET", url, true);
      xhr.setRequestHeader("Accept", "application/json");
      xhr.send();
    } catch (error) {
      end(false);
    }
  }

  function notice(text) {
    if (text) say("notice", text);
    show("notice", !!text);
  }

  /** Remembers a text for this tab, and returns what was remembered before; "" where storage is forbidden. */
  function remember(name, text) {
    var old = "";
    try {
      old = sessionStorage.getItem(name) || "";
      sessionStorage.setItem(name, text);
    } catch (error) {
      old = ""; // what the server keeps for this page is given up when it has been idle
    }
    return old;
  }

  /** The address of the demo at another port of the same host. */
  function at(port) {
    var host = location.hostname;
    if (host.indexOf(":") >= 0 && host.charAt(0) !== "[") host = "[" + host + "]";
    return location.protocol + "//" + host + ":" + port;
  }

  function now() {
    return window.performance && performance.now ? performance.now() : new Date().getTime();
  }

  /** A figure in three digits or so; a dash for what was not measured. */
  function figure(value) {
    var text, i;
    if (value === null || value === undefined || isNaN(value)) return "—";
    if (value === 0) return "0";
    if (value < 0.01) return "<0.01";
    if (value < 10) return value.toFixed(value < 1 ? 2 : 1);
    text = String(Math.round(value));
    for (i = text.length - 3; i > 0; i -= 3) text = text.slice(0, i) + "\u202f" + text.slice(i);
    return text;
  }

  /** The value below which so large a part of the (unsorted) values is; null if there are none. */
  function percentile(values, part) {
    var sorted = values.slice().sort(function (a, b) {
      return a - b;
    });
    return sorted.length ? sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * part) - 1))] : null;
  }

  /** How a session that has closed is told of. */
  function ending(event) {
    return event.code + (event.reason ? " (" + event.reason + ")" : "");
  }

  /** Calls back when the page knows what the server is like. */
  function whenReady(callback) {
    if (config) callback(config);
    else ready.push(callback);
  }

  function start() {
    var origins = document.querySelectorAll(".origin"), i;
    for (i = 0; i < origins.length; i++) origins[i].textContent = location.protocol + "//" + location.host + "/realtime";
    for (i = 0; i < origins.length; i++) {
      if (origins[i].nextSibling) origins[i].nextSibling.data = origins[i].nextSibling.data.replace(/^\/realtime/, "");
    }
    if (typeof window.Realtime === "undefined") {
      notice("The JavaScript client is missing here: in a checkout, build it in client-js first.");
      return;
    }
    ask("GET", "/demo/config", function (problem, data) {
      if (problem) {
        setTimeout(start, 3000);
        return;
      }
      config = data;
      say("version", data.version);
      while (ready.length) ready.shift()(data);
    });
  }

  if (window.addEventListener) window.addEventListener("load", start, false);

  return {
    NAMES: NAMES, byId: byId, el: el, svg: svg, clear: clear, say: say, show: show, ask: ask, probe: probe, remember: remember, at: at,
    now: now, figure: figure, percentile: percentile, ending: ending, whenReady: whenReady, notice: notice
  };
})();
