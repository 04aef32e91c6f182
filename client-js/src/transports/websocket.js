/** RFC 6455: frames both ways, one a message, binary as it is. */
import { query } from "../carrier.js";
import { DUPLEX } from "../machine.js";
import { ignore, root } from "../root.js";

// The page may put Realtime in its place later.
var first = /*#__PURE__*/ native();

/** The browser's class, or what the page has in its place; not ours. */
function native() {
  var found = root.WebSocket;
  return found && (found.prototype || found).ontransport !== null ? found : first;
}

export var websocket = {
  name: "websocket",
  kind: DUPLEX,
  usable: native,
  open: function (carrier, url, hello) {
    // An open rides in the URL and saves a round trip, unless there are auth data or cursors in it: URLs are logged.
    var inUrl = hello.charAt(0) === "o" && !carrier.secret;
    var socket = new (native())((inUrl ? query(url, "open", hello.slice(1)) : url).replace(/^http/, "ws"));
    carrier.binary = "binaryType" in socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = function () {
      if (!inUrl) socket.send(hello);
      carrier.ready();
    };
    socket.onmessage = function (event) {
      carrier.frames([event.data]);
    };
    // It says nothing, and does not always come; but Node's `ws` throws where nobody hears it.
    socket.onerror = ignore;
    // What went wrong is told here alone.
    socket.onclose = function (event) {
      carrier.end("closed with " + event.code);
    };
    return {
      write: function (frames) {
        for (var i = 0; i < frames.length; i++) socket.send(frames[i]);
      },
      waiting: function () {
        return socket.bufferedAmount;
      },
      stop: function () {
        // Also one that is connecting, for a warning in the console: browsers connect one at a time to an address
        // (RFC 6455 §4.1), so that every later one would wait for it.
        socket.close();
      }
    };
  }
};
