/**
 * HTTP requests: XMLHttpRequest, which every page has, and requests.js where there is none that can.
 *
 * Whoever asks is told: alive() when something comes, batch(text, where) with a batch, and end(how) when it has ended, with
 * "" for a whole answer. What it was told first counts; then it stops the request.
 */

import { toBatch } from "./frames.js";
import { root } from "./root.js";

function hasXhr(cross) {
  return root.XMLHttpRequest && (!cross || "withCredentials" in new XMLHttpRequest());
}

/** Whether this engine can ask an address of this, or another (`cross`), origin and read the answer. */
export function hasHttp(cross, requests) {
  return hasXhr(cross) || (requests.length && (root.XDomainRequest || root.fetch));
}

/**
 * Makes one request: a POST if there is a `body`. `grown` is called with the answer as it grows and at its end; without
 * it the answer is one batch. Returns how to stop it.
 */
export function request(asker, url, body, grown) {
  var xhr;
  function read(complete, status) {
    var text = "", grows;
    try {
      text = xhr.responseText;
      status = status || xhr.status;
    } catch (error) {
      // Internet Explorer before 10 lets nobody read before the end.
    }
    if (!complete) asker.alive();
    grows = grown && status === 200;
    if (grows) grown(text);
    // What was cut may look complete: it is believed only if it parses.
    else if (complete && status && status !== 204) asker.batch(text, "HTTP " + status);
    if (complete) asker.end(!status ? "no answer" : grows || status === 204 ? "cut" : "");
  }

  if (hasXhr(asker.options.cross)) {
    xhr = new XMLHttpRequest();
    xhr.onreadystatechange = function () {
      if (xhr.readyState > 2) read(xhr.readyState > 3);
    };
    xhr.open(body ? "POST" : "GET", url, true);
    if (asker.options.cross) xhr.withCredentials = asker.options.credentials;
    if (body) xhr.setRequestHeader("Content-Type", "text/plain;charset=UTF-8"); // another type would need a preflight
    xhr.send(body);
  } else xhr = asker.options.requests(asker, url, body, read);
  return {
    stop: function () {
      xhr.abort();
    }
  };
}

/** One poll: the answer is a batch. */
export function poll(carrier, url, first) {
  return post(carrier, url, [first].concat(carrier.messages()));
}

/** Sends frames up: the way of all transports but those that live without CORS. */
export function post(asker, url, frames) {
  return request(asker, url, toBatch(frames));
}
