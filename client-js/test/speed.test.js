// Much that waits costs no more than its share: work grows with the number of messages, not with its square.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DIST } from "../build.js";
import { Browser, opened } from "./browser.js";

const code = readFileSync(join(DIST, "realtime.js"), "utf8");

/** The time that `count` messages take from before the session is open until they are acknowledged, in milliseconds. */
function drain(count, transport) {
  const page = new Browser(code);
  const session = page.connect("/chat", { transports: [transport], maxBuffered: Infinity });
  const started = performance.now();
  let up = 0;
  for (let i = 0; i < count; i++) session.send("x");
  if (transport === "websocket") {
    const { socket } = page;
    socket.accept();
    socket.say(opened());
    while (up < count) {
      up += socket.sent.splice(0).filter((frame) => frame[0] === "m").length;
      socket.say(`a${up},${up}`);
    }
  } else {
    const poll = page.request("/v1/long_polling");
    up = poll.sent.length - 1;
    poll.answer(200, [opened({ ack: [up, up] })]);
    while (up < count) {
      page.advance(0);
      const send = page.request("/v1/send");
      up += send.sent.filter((frame) => frame[0] === "m").length;
      page.requests.length = 0; // the test's own
      send.answer(200, [`a${up},${up}`]);
    }
  }
  assert.equal(session.unacknowledged.length, 0);
  assert.equal(up, count);
  return performance.now() - started;
}

for (const transport of ["websocket", "long_polling"]) {
  test(`100,000 messages that wait for ${transport} to open`, () => {
    drain(2000, transport); // warm
    let once = Infinity, four = Infinity;
    for (let attempt = 0; attempt < 5; attempt++) {
      once = Math.min(once, drain(25000, transport));
      four = Math.min(four, drain(100000, transport));
      if (four < 10 * once + 50) return; // linear is 4, quadratic 16, whatever else the machine does meanwhile
    }
    assert.fail(`${four} ms is not four times ${once} ms`);
  });
}
