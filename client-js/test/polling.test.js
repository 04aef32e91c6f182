// The pace of plain polls: at once where a poll has brought something or something can go up, else with a growing pause. What
// can't go up now, as while the server drains or its window is full, makes no haste.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Browser, opened } from "./browser.js";
import { code } from "./source.js";

/** A session over plain polls, in the pause after one that brought nothing. */
function paused(fields) {
  const page = new Browser(code);
  const session = page.connect("/chat", { transports: ["polling"] });
  page.request("/v1/polling").answer(200, [opened({ transport: "polling", ...fields })]);
  page.request("/v1/polling").answer(200, ["r0,0"]);
  assert.equal(page.pending("/v1/polling").length, 0);
  return { page, session };
}

/** How many polls are asked in so many milliseconds, all answered at once with `frames`. */
function polls(page, milliseconds, frames) {
  let count = 0;
  for (const end = page.now + milliseconds; page.now < end; page.advance(10)) {
    for (let i = 0; i < 5 && page.pending("/v1/polling").length; i++, count++) page.request("/v1/polling").answer(200, frames);
  }
  return count;
}

test("in peace they are as far apart as the server says", () => {
  const { page } = paused();
  const count = polls(page, 20000, ["r0,0"]);
  assert.ok(count >= 5 && count <= 10, `${count} polls`); // 0.2, 0.4 … 5 seconds apart
});

test("what can go up goes at once", () => {
  const { page, session } = paused();
  session.send("now");
  assert.deepEqual(page.request("/v1/polling").sent.slice(1), ["mnow"]);
});

test("while the server drains and something is unsent they are no faster", () => {
  const { page, session } = paused();
  page.advance(300);
  page.request("/v1/polling").answer(200, ["r0,0", "g5"]);
  page.advance(6000);
  page.request("/v1/polling").answer(200, ["r0,0"]); // has brought the answer to the go-away
  session.send("later");
  const count = polls(page, 20000, ["r0,0"]);
  assert.equal(session.state, "draining");
  assert.deepEqual([...session.unacknowledged], ["later"]);
  assert.ok(count >= 2 && count <= 10, `${count} polls`);
});

for (const [what, taken] of [
  ["in messages", [4, 1048576]],
  ["in bytes", [256, 8]]
]) {
  test(`while the server's window is full, ${what}, they are no faster`, () => {
    const { page, session } = paused({ window: taken });
    for (let i = 1; i <= 6; i++) session.send("m" + i);
    page.request("/v1/polling").answer(200, ["r1,0"]);
    assert.deepEqual(page.request("/v1/polling").sent.slice(1), ["mm2", "mm3", "mm4"]);
    page.request("/v1/polling").answer(200, ["r4,0"]); // received, and not taken
    const count = polls(page, 20000, ["r4,0"]);
    assert.equal(session.unacknowledged.length, 2);
    assert.ok(count >= 2 && count <= 12, `${count} polls`);
    for (let i = 0; i < 600 && !page.pending("/v1/polling").length; i++) page.advance(10);
    page.request("/v1/polling").answer(200, ["r4,4"]);
    assert.deepEqual(page.request("/v1/polling").sent.slice(1), ["mm5", "mm6"], "and then at once");
  });
}

test("after a poll that was lost they wait as after any failure, whatever is unsent", () => {
  const { page, session } = paused();
  session.send("again");
  page.request("/v1/polling").cut();
  let count = 0;
  for (const end = page.now + 20000; page.now < end; page.advance(10)) {
    for (const one of page.pending("/v1/polling")) {
      one.cut();
      count++;
    }
  }
  assert.ok(count >= 3 && count <= 30, `${count} polls`);
  for (let i = 0; i < 1500 && !page.pending("/v1/polling").length; i++) page.advance(10);
  assert.deepEqual(page.request("/v1/polling").sent.slice(1), ["magain"]);
});
