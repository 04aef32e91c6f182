// Messages of rooms with their positions (docs/protocol.md §3.5) are sent to clients whose open says `rooms`. This one
// does not, so it gets plain messages; and what it does not know it ignores, as any client has to.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parse } from "../src/frames.js";

const vectors = JSON.parse(readFileSync(new URL(`../../tests/vectors/${"rooms"}.json`, import.meta.url), "utf8"));

test("rooms.json: a frame that this client did not ask for is nothing to it, whatever stands in it", () => {
  assert.ok(vectors.length > 40, "too few");
  for (const { name, frame } of vectors) {
    if (!/[\ud800-\udfff]/u.test(frame)) assert.doesNotThrow(() => parse(frame), name); // half of a character never comes
  }
});

test("its open does not ask for them", () => {
  const source = readFileSync(new URL("../src/machine.js", import.meta.url), "utf8");
  assert.match(source, /\bnonce\b/);
  assert.doesNotMatch(source, /\brooms\b/);
});
