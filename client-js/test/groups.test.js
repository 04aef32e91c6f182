// An event and the bytes in it (docs/protocol.md §11): one message to windows, drains and whoever asks what has not arrived.

import assert from "node:assert/strict";
import { test } from "node:test";
import { opened } from "./browser.js";
import { begin, flush, peek, queue, queueClose, take } from "../src/machine.js";

/** A session that is open, and whose server has this window; `sent()` gives what it writes now. */
function session(window = [100, 100000]) {
  const owner = { unacknowledged: [], _stateIs(state) { owner.state = state; }, _tell() {} };
  const s = { _owner: owner, _takenUp() {}, _hasEnded(_, ...how) { s.how = how; } };
  begin(s, "nonce", 1);
  const carrier = { _up: 1, _down: 1, _from: 0, _kind: 0, binary: false };
  const send = (...parts) => {
    parts.forEach((part, index) => {
      const isText = typeof part === "string";
      owner.unacknowledged.push(part);
      queue(s, { _size: part.length, _rest: index, _text: isText && "m" + part, _bytes: !isText && part });
    });
  };
  const say = (...frames) => frames.flatMap((frame) => take(s, carrier, frame, 0) || []);
  say(opened({ window }));
  s._confirm = false;
  const sent = () => flush(s, carrier, 0).map((frame) => (typeof frame === "string" ? frame : [...new Uint8Array(frame)]));
  return { s, owner, carrier, send, say, sent };
}

const bytes = (size) => new Uint8Array(size);

test("a group is one message to the window", () => {
  const { send, say, sent } = session([2, 20]);
  send("before");
  send("event", bytes(50), bytes(1));
  send("next", bytes(1));
  assert.equal(sent().length, 4);
  assert.deepEqual(sent(), []);
  say("a4,1");
  assert.deepEqual(sent(), []);
  say("a4,4");
  assert.equal(sent().length, 2);
});

test("before there is a session the window holds for all", () => {
  const { s, send } = session([2, 20]);
  s._sid = "";
  s._server = { window: [2, 20] };
  send("event", bytes(50));
  assert.equal(peek(s, 1, 10, 1000).length, 1);
  s._sid = "s1";
  assert.equal(peek(s, 2, 10, 1000).length, 1);
});

test("what has begun goes on while the server drains, and nothing new", () => {
  const { s, owner, send, say, sent } = session();
  send("event", bytes(1), bytes(2));
  send("new", bytes(3));
  assert.equal(peek(s, 1, 1, 1000).length, 1); // as many as a batch took
  say("g0.5");
  assert.equal(owner.state, "draining");
  assert.deepEqual(sent(), ["mevent", "bAA==", "bAAA=", "g3"]);
  assert.deepEqual(sent(), []);
  say("a3,3");
  assert.deepEqual(owner.unacknowledged.map(({ length }) => length), [3, 3]);
});

test("a close while the server drains follows what has begun", () => {
  const { s, send, sent } = session();
  send("event", bytes(1), bytes(2));
  send("new", bytes(3));
  peek(s, 1, 2, 1000);
  s._held = true;
  queueClose(s, 1000, "");
  assert.deepEqual([s._owed, s._waiting], [8, 2]);
  assert.deepEqual(sent(), ["mevent", "bAA==", "bAAA=", "c1000,"]);
});

test("what has not arrived is told whole", () => {
  const { s, owner, send, say, sent } = session();
  const left = () => owner.unacknowledged.map((part) => part.length);
  send("a");
  send("event", bytes(10), bytes(20));
  send("b", bytes(30));
  sent();
  for (const received of [1, 2, 3]) {
    say(`a${received},1`);
    assert.deepEqual(left(), [5, 10, 20, 1, 30]);
  }
  say("a4,4");
  assert.deepEqual(left(), [1, 30]);
  say("a5,4", "x1011,session,5,lost");
  assert.deepEqual(left(), [1, 30]);
  assert.equal(s.how[0], 1011);
  assert.equal(s._owed, 30);
});

test("a close is no message, whatever is before it", () => {
  const { s, owner, send, say, sent } = session();
  send("event", bytes(1));
  queueClose(s, 1000, "");
  sent();
  say("a3,2");
  assert.deepEqual(owner.unacknowledged, []);
  assert.deepEqual(s.how, [1000, "", true, undefined]);
});
