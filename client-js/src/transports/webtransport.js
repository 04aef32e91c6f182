/**
 * WebTransport (docs/protocol.md §3.6): frames on one stream over HTTP/3, at a UDP port that the server names.
 *
 * Where that is stands in the server's list of transports; before there is a session, and after a failure, negotiate is
 * asked. A network that lets no UDP through answers nothing at all, so an attempt is soon given up where there is
 * something else to try.
 */
import { decoder, encode } from "../lengths.js";
import { DUPLEX, PROBE } from "../machine.js";
import { ignore } from "../root.js";

var DARK = 1500; // how long the connection may take where there are other transports; once, since it is remembered
var FAREWELL = 2000; // how long what was written last may take to arrive
var MOST = 67108864; // bytes of one frame that comes

var NOT_SERVED = "this server offers no WebTransport";

/**
 * The transport, for `options.transports`. `options.serverCertificateHashes`, as the browser takes them, stand in for those
 * that the server tells.
 */
export function webtransport(options) {
  var hashes = options && options.serverCertificateHashes, k;
  for (k in options) {
    if (k !== "serverCertificateHashes" || (hashes && !hashes.concat)) {
      throw TypeError("Realtime: webtransport() takes serverCertificateHashes: Array, not " + JSON.stringify(options));
    }
  }
  return {
    name: "webtransport",
    kind: DUPLEX,
    usable: function () {
      return typeof WebTransport !== "undefined";
    },
    open: function (carrier, url, hello) {
      return connect(carrier, url, hello, hashes);
    }
  };
}

function connect(carrier, url, hello, hashes) {
  var s = carrier._session, read = decoder(MOST), waiting = 0, over, tunnel, writer, dark; // waiting: bytes

  function failed(error) {
    if (!over) carrier.end((error && error.message) || "cut");
    close();
  }

  function close() {
    try {
      tunnel.close();
    } catch (error) {
      // It has not begun, or has ended.
    }
  }

  function write(frames) {
    var bytes = encode(frames);
    waiting += bytes.length;
    writer.write(bytes).then(function () {
      waiting -= bytes.length;
    }, ignore); // whoever reads is told
  }

  /** The server is where `place` says. */
  function start(place) {
    if (over) return;
    if (!place) {
      carrier.frames(["x4406,carrier,," + NOT_SERVED]); // as if it had said so itself
      return;
    }
    hashes = hashes || (place.hash && [{ algorithm: "sha-256", value: fromBase64(place.hash) }]);
    tunnel = new WebTransport(addressed(url, place), hashes ? { serverCertificateHashes: hashes } : {});
    tunnel.closed.then(failed, failed);
    tunnel.ready.then(function () {
      if (!over) tunnel.createBidirectionalStream().then(opened, failed);
    }, failed);
  }

  function opened(stream) {
    if (over) return;
    clearTimeout(dark);
    writer = stream.writable.getWriter();
    write([hello]);
    carrier.ready();
    hear(stream.readable.getReader());
  }

  function hear(reader) {
    reader.read().then(function (result) {
      if (result.done) failed();
      else {
        take(result.value);
        hear(reader);
      }
    }, failed);
  }

  function take(bytes) {
    var frames;
    if (over) return;
    try {
      frames = read(bytes);
    } catch (code) {
      if (carrier._role === PROBE) return carrier.end("broken with " + code);
      write(["x" + code + ",session," + s._received + ","]);
      frames = ["x" + code + ",session,,protocol error"]; // as if the server had ended it
    }
    carrier.frames(frames);
  }

  carrier.binary = carrier.secret = true; // its first frame never stands in a URL: nothing is said before it is ready
  // How many transports are not out of the question?
  if (s._ranks.filter(function (one) { return !one._out; }).length > 1) {
    dark = setTimeout(function () {
      failed(Error("no answer in 1.5 s"));
    }, DARK);
  }
  // What throws on the way ends this attempt, and no other.
  find(carrier, url).then(start).then(null, failed);

  return {
    write: write,
    waiting: function () {
      return waiting;
    },
    stop: function () {
      over = true;
      clearTimeout(dark);
      if (!writer) {
        close();
        return;
      }
      // Behind what was written. When the server has ended its side, too, the session ends.
      writer.close().then(ignore, ignore);
      setTimeout(close, FAREWELL);
    }
  };
}

/** A promise of the place: as the session was told, or as the server says now. */
function find(carrier, url) {
  var s = carrier._session, place = !s._times(carrier._of) && placeIn(s._listed);
  if (place) return Promise.resolve(place);
  return fetch(url.replace(/\/v1\/webtransport(\?|$)/, "/negotiate$1"), {
    credentials: carrier.options.credentials ? "include" : "same-origin",
    headers: { Accept: "application/json" }
  })
    .then(function (answer) {
      if (!answer.ok) throw Error("negotiate: HTTP " + answer.status);
      return answer.json();
    })
    .then(function (told) {
      return placeIn(told.transports);
    });
}

/** What a server's list of transports says of it; nothing where it has none. */
function placeIn(list) {
  for (var i = 0; i < list.length; i++) {
    if (list[i].name === "webtransport" && list[i].verdict !== "refused" && list[i].port > 0) return list[i];
  }
}

/** The address of the endpoint at that place. */
function addressed(url, place) {
  var parts = /\/\/(?:[^\/?]*@)?(\[[^\]]*\]|[^\/?:]*)[^\/?]*(.*)/.exec(url), host = place.host || parts[1];
  return "https://" + host.replace(/^[^\[].*:.*/, "[$&]") + ":" + place.port + parts[2];
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), function (character) {
    return character.charCodeAt(0);
  });
}
