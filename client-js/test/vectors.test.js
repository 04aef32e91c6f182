// The wire format, from the vectors that the Python side reads too.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runBatches, runFrames } from "./vectors.js";

function vectors(name) {
  return JSON.parse(readFileSync(new URL(`../../tests/vectors/${name}.json`, import.meta.url), "utf8"));
}

for (const name of ["frames", "opens", "attaches", "refusals"]) {
  test(`${name}.json`, () => {
    const { count, failures } = runFrames(vectors(name));
    assert.deepEqual(failures, []);
    assert.ok(count > 10, "too few");
  });
}

test("batches.json", () => {
  const { count, failures } = runBatches(vectors("batches"));
  assert.deepEqual(failures, []);
  assert.ok(count > 10, "too few");
});
