// What sockjs-client is made to do, in Node and in browsers alike. `run` calls `done` once, with all that happened.
(function (root) {
  "use strict";

  var NASTY = [
    "plain", "", "\"quotes\" and 'others'", "back\\slash \\\" \\u0041", "</script><script>alert(1)</script><!-- ]]>",
    "\u2028 and \u2029", "line\r\nends\ttabs\u0000null", "100% %41 %00 %0A", "é ü ß 漢字 😀", "\ufeff\ufffe\uffff\u200b\u00ad",
    "a[\"x\"]", "c[3000,\"Go away!\"]", "o", "h", "&amp; &lt;", "x".repeat(5000)
  ];

  function many(count, make) {
    var all = [];
    for (var i = 0; i < count; i++) all.push(make(i));
    return all;
  }

  // Chromium runs the timers of hidden frames of other origins once a second: a turn, or a recycled stream, each.
  var SCENARIOS = {
    echo: { path: "/echo", send: NASTY },
    burst: { path: "/echo", send: many(1000, function (i) { return "message " + i; }) },
    long: { path: "/echo", send: many(10, function (i) { return i + "x".repeat(3000); }) },
    pingpong: { path: "/echo", send: many(8, String), turns: true },
    close: { path: "/close", send: [] },
    bulk: { path: "/bulk", send: [], expect: many(1000, String) }
  };

  root.run = function (SockJS, base, transport, name, done) {
    var scenario = SCENARIOS[name];
    var expected = scenario.expect || scenario.send;
    var options = { transports: transport, transportOptions: {}, timeout: 15000 };
    var socket = new SockJS(base + scenario.path, null, options);
    var told = { transport: null, received: 0, wrong: null, code: null, reason: null, opened: 0 };
    socket.onopen = function () {
      told.opened += 1;
      told.transport = socket.transport;
      if (scenario.turns) socket.send(expected[0]);
      else for (var i = 0; i < scenario.send.length; i++) socket.send(scenario.send[i]);
    };
    socket.onmessage = function (event) {
      if (event.data !== expected[told.received] && told.wrong === null)
        told.wrong = [told.received, event.data];
      told.received += 1;
      if (told.received === expected.length) socket.close(3999, "done");
      else if (scenario.turns) socket.send(expected[told.received]);
    };
    socket.onclose = function (event) {
      told.code = event.code;
      told.reason = event.reason;
      told.expected = expected.length;
      setTimeout(function () { done(told); }, 50); // what comes now comes twice
    };
  };
})(typeof module === "object" ? module.exports : window);
