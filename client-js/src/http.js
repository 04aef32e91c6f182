/**
 * HTTP requests: XMLHttpRequest, which every page has, fetch where there is none (service workers, extensions, Node), and
 * XDomainRequest for other origins in Internet Explorer 8 and 9.
 *
 * Whoever asks is told: alive() when something comes, batch(text, where) with a batch, and end(how) when it has ended, with
 * "" for a whole answer. What it was told first counts; then it stops the request.
 */

import { toBatch } from "./frames.js";
import { root } from "./root.js";

/** Whether this engine can ask an address of this, or another (`cross`), origin and read the answer. */
export function hasHttp(cross) {
  if (!root.XMLHttpRequest) return root.fetch;
  return !cross || "withCredentials" in new XMLHttpRequest() || root.XDomainRequest;
}

/** As much of an XMLHttpRequest as is used here, by fetch. `read` is called as the answer grows, and at its end. */
function fetched(asker, url, body, xhr, read) {
  var control = new AbortController(), decoder = new TextDecoder(), reader;
  function more(part) {
    if (part.done) return read(true);
    if (part.value) {
      xhr.responseText += decoder.decode(part.value, { stream: true });
      read();
    }
    return reader.read().then(more);
  }
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
      xhr.status = response.status;
      reader = response.body.getReader();
      return more({});
    })
    .then(null, function () {
      xhr.status = 0;
      read(true);
    });
}

/**
 * Makes one request: a POST if there is a `body`. `grown` is called with the answer as it grows and at its end; without
 * it the answer is one batch. Returns how to stop it.
 */
export function request(asker, url, body, grown) {
  var xhr = root.XMLHttpRequest && new XMLHttpRequest(), foreign = xhr && asker.cross && !("withCredentials" in xhr);

  function read(complete) {
    var text = "", status = 200;
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
    if (complete) asker.end(!status ? "no answer" : (grown && status === 200) || status === 204 ? "cut" : "");
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
      asker.end("no answer");
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
  } else fetched(asker, url, body, (xhr = { responseText: "" }), read);
  return {
    stop: function () {
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
