// The wire format, from the vectors that the Python side reads too.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";
import { FakeRequest } from "./browser.js";
import { parseBatch } from "../src/frames.js";
import { all } from "../src/all.js";
import { runBatches, runDurable, runFrames, runRooms } from "./vectors.js";

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

test("rooms.json", () => {
  const { count, failures } = runRooms(vectors("rooms"));
  assert.deepEqual(failures, []);
  assert.ok(count > 40, "too few");
});

test("durable.json", () => {
  const { count, failures } = runDurable(vectors("durable"));
  assert.deepEqual(failures, []);
  assert.ok(count > 25, "too few");
});

test("batches.json", () => {
  const { count, failures } = runBatches(vectors("batches"));
  assert.deepEqual(failures, []);
  assert.ok(count > 10, "too few");
});

/** What a stream makes of a body that comes in these pieces: its frames, and how it ended. */
function read(transport, pieces) {
  const carrier = new Recorder();
  let request;
  globalThis.XMLHttpRequest = class extends FakeRequest {
    constructor() {
      super();
      request = this;
    }
  };
  transport.open(carrier, "http://a.example/v1/" + transport.name, "rs1,1,0,0,1");
  for (const piece of pieces) request.grow(piece);
  request.finish();
  return carrier;
}

class Recorder {
  options = {};
  found = [];
  ends = [];
  alive() {}

  batch(text, where) {
    if (this.ends.length) return;
    try {
      this.found.push(...parseBatch(text));
    } catch {
      this.end(`${where} is no batch`);
    }
  }
  end(how) {
    this.ends.push(how);
  }
}

// Events and frames with scripts are read by the browser itself.
for (const transport of all.filter(({ name }) => !["sse", "htmlfile"].includes(name))) {
  if (!vectors("streams").some((vector) => vector.transport === transport.name)) continue;
  test(`streams.json: ${transport.name}, whole, in halves and by characters`, () => {
    for (const vector of vectors("streams")) {
      const body = vector.base64 === undefined ? vector.body : Buffer.from(vector.base64, "base64").toString();
      if (vector.transport !== transport.name) continue;
      if (body.includes("\ufffd")) continue; // not UTF-8: the browser decodes
      for (const pieces of [[body], [body.slice(0, 2100), body.slice(2100)], [...body]]) {
        const { found, ends } = read(transport, pieces);
        assert.match(ends[0], vector.error ? /no batch/ : /^(cut|no answer)$/, vector.name);
        if (!vector.error) assert.deepEqual(found, vector.frames, vector.name);
      }
    }
  });
}

test("a long batch that comes in many pieces is looked at piece by piece", () => {
  for (const [name, begin, end] of [["xhr_streaming", "", "\n"], ["multipart", "--realtime\r\n\r\n", "\r\n--realtime\r\n"]]) {
    const long = Array(40).fill("x".repeat(50000)); // of a pattern that tries each place again nobody would see the end
    const { found } = read(all.find((transport) => transport.name === name), [begin + '["m', ...long, '"]' + end]);
    assert.deepEqual(found.map((frame) => frame.length), [2000001], name);
  }
});

/** Runs the scripts of an answer where a call-back named `name` waits; returns the frames that it was given. */
function execute(scripts, name) {
  const frames = [];
  const window = { frames };
  const take = (batch) => frames.push(...parseBatch(batch));
  window.parent = window;
  name.split(".").reduce((owner, part, i, parts) => (owner[part] = i < parts.length - 1 ? {} : take), window);
  vm.createContext(window);
  for (const script of scripts) vm.runInContext(script, window);
  return frames;
}

function blocks(html) {
  return [...html.matchAll(/<script>(.*?)<\/script>/gs)].map((match) => match[1]);
}

test("scripts.json: what the server has the page run", () => {
  let count = 0;
  for (const { name, from, transport, callback, body, frames } of vectors("scripts")) {
    if (from === "client" || !transport) continue;
    const run = () => execute(transport === "jsonp" ? [body] : blocks(body), callback);
    if (frames) assert.deepEqual(run(), frames, name);
    else assert.throws(run, { name: "SyntaxError" }, name); // nobody is called: the transport finds that out
    count++;
  }
  assert.ok(count > 5, "too few");
});
