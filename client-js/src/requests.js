/**
 * HTTP requests where XMLHttpRequest is missing or can't: fetch (service workers, extensions, Node), and XDomainRequest for
 * other origins in Internet Explorer 8 and 9. Part of what has all transports; whoever chooses, gives it (options.requests).
 */
import { root } from "./root.js";

/** As much of an XMLHttpRequest as http.js uses. `read` is called as the answer grows, and with true at its end. */
export function requests(asker, url, body, read) {
  var xhr, control, decoder, reader, method = body ? "POST" : "GET";
  function more(part) {
    if (part.done) return read(true);
    if (part.value) {
      xhr.responseText += decoder.decode(part.value, { stream: true });
      read();
    }
    return reader.read().then(more);
  }
  if (root.XDomainRequest) {
    xhr = new XDomainRequest();
    xhr.onprogress = function () {
      read(false, 200);
    };
    xhr.onload = function () {
      read(true, 200); // it has no status
    };
    xhr.onerror = xhr.ontimeout = function () {
      read(true);
    };
    xhr.open(method, url);
    xhr.send(body);
    return xhr;
  }
  control = new AbortController();
  decoder = new TextDecoder();
  fetch(url, { method: method, body: body, credentials: asker.options.credentials ? "include" : "same-origin", signal: control.signal })
    .then(function (response) {
      xhr.status = response.status;
      reader = response.body.getReader();
      return more({});
    })
    .then(null, function () {
      xhr.status = 0;
      read(true);
    });
  return (xhr = {
    responseText: "",
    abort: function () {
      control.abort();
    }
  });
}
