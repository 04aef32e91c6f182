/**
 * HTTP requests: XMLHttpRequest, which every page has, fetch where there is none (service workers, extensions, Node), and
 * XDomainRequest for other origins in Internet Explorer 8 and 9.
 *
 * Whoever asks is told: alive() when something comes, batch(text, where) with a batch, and end(how) once, with "" for a
 * whole answer.
 */

import { toBatch } from "./frames.js";
import { root } from "./root.js";

/** Whether this engine can ask an address of this, or another (`cross`), origin and read the answer. */
export function hasHttp(cross) {
  if (!root.XMLHttpRequest) return root.fetch;
  return !cross || "withCredentials" in new XMLHttpRequest() || root.XDomainRequest;
}

/** As much of an XMLHttpRequest as is used here, by fetch. `read` is called as the answer grows, and at its end. */
function fetched(asker, url, body, read) {
  var control = new AbortController(), decoder = new TextDecoder();
  var xhr = { status: 0, responseText: "" };
  xhr.abort = function () {
    control.abort();
  };
  fetch(url, {
    method: body ? "POST" : "GET",
    body: body,
    credentials: asker.credentials ? "include" : "same-origin",
    signal: control.signal
  })
    .then(function (response) {
      var reader = response.body.getReader();
      xhr.status = response.status;
      function more() {
        return reader.read().then(function (part) {
          if (part.done) return;
          xhr.responseText += decoder.decode(part.value, { stream: true });
          read();
          return more();
        });
      }
      return more();
    })
    .then(
      function () {
        read(true);
      },
      function () {
        xhr.status = 0;
        read(true);
      }
    );
  return xhr;
}

/**
 * Makes one request: a POST if there is a `body`. `grown` is called with the answer as it grows and at its end; without
 * it the answer is one batch. Returns how to stop it.
 */
export function request(asker, url, body, grown) {
  var xhr = root.XMLHttpRequest && new XMLHttpRequest(), foreign = xhr && asker.cross && !("withCredentials" in xhr), over;

  function read(complete) {
    var text = "", status = 200;
    if (over) return;
    try {
      text = xhr.responseText;
      if (!foreign) status = xhr.status;
    } catch (error) {
      // Internet Explorer before 10 lets nobody read before the end.
    }
    if (!complete) asker.alive();
    if (grown && status === 200) grown(text);
    // What was cut may look complete: it is believed only if it parses.
    else if (complete && status && status !== 204) asker.batch(text, "HTTP " + status);
    if (complete) finish(!status ? "no answer" : (grown && status === 200) || status === 204 ? "cut" : "");
  }
  function finish(how) {
    if (over) return;
    over = true;
    asker.end(how);
  }

  if (foreign) {
    xhr = new XDomainRequest();
    xhr.onprogress = function () {
      read();
    };
    xhr.onload = function () {
      read(true);
    };
    xhr.onerror = xhr.ontimeout = function () {
      finish("no answer");
    };
  } else if (xhr) {
    xhr.onreadystatechange = function () {
      if (xhr.readyState > 2) read(xhr.readyState > 3);
    };
  }
  if (xhr) {
    xhr.open(body ? "POST" : "GET", url, true);
    if (!foreign) {
      if (asker.cross) xhr.withCredentials = asker.credentials;
      if (body) xhr.setRequestHeader("Content-Type", "text/plain;charset=UTF-8"); // another type would need a preflight
    }
    xhr.send(body);
  } else xhr = fetched(asker, url, body, read);
  return {
    stop: function () {
      if (over) return;
      over = true;
      xhr.abort();
    }
  };
}

/** One poll: the answer is a batch. */
export function poll(carrier, url, first) {
  return request(carrier, url, toBatch([first].concat(carrier.messages())));
}

/** Sends frames up: the way of all transports but those that live without CORS. */
export function post(asker, url, frames) {
  return request(asker, url, toBatch(frames));
}
