/**
 * HTTP requests: XMLHttpRequest, which every engine has, and XDomainRequest for other origins in Internet Explorer 8
 * and 9.
 *
 * Whoever asks is told: alive() when something comes, batch(text, where) with a batch, and end(how) once, with "" for a
 * whole answer.
 */

import { toBatch } from "./frames.js";

/** Whether this engine can ask an address of this, or another (`cross`), origin and read the answer. */
export function hasHttp(cross) {
  return (
    typeof XMLHttpRequest !== "undefined" &&
    (!cross || "withCredentials" in new XMLHttpRequest() || typeof XDomainRequest !== "undefined")
  );
}

/**
 * Makes one request: a POST if there is a `body`. `grown` is called with the answer as it grows and at its end; without
 * it the answer is one batch. Returns how to stop it.
 */
export function request(asker, url, body, grown) {
  var xhr = new XMLHttpRequest(), foreign = asker.cross && !("withCredentials" in xhr), over;

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
  } else {
    xhr.onreadystatechange = function () {
      if (xhr.readyState > 2) read(xhr.readyState > 3);
    };
  }
  xhr.open(body ? "POST" : "GET", url, true);
  if (!foreign) {
    if (asker.cross) xhr.withCredentials = asker.credentials;
    if (body) xhr.setRequestHeader("Content-Type", "text/plain;charset=UTF-8"); // another type would need a preflight
  }
  xhr.send(body);
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
