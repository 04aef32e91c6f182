// The choice of carriers, by the histories that the Python client is held to, too.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { OPEN_TIMEOUT, supervise } from "../src/supervision.js";

const vectors = JSON.parse(readFileSync(new URL(`../../tests/vectors/${"supervision"}.json`, import.meta.url), "utf8"));

const START = 1e6; // when the histories begin, in milliseconds: a clock shows no 0

/** A name of Python's in the form of this source. */
function member(name) {
  return "_" + name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
}

/** Seconds of the vectors in milliseconds; not what counts, is a code, or a word. */
function milliseconds(value) {
  return Array.isArray(value) ? value.map(milliseconds) : typeof value === "number" ? value * 1000 : value;
}

/** Which arguments of an event are times. */
const TIMES = { opened: [0, 1, 2], tested: [1], lost: [2], refused: [3], post_failed: [1] };

/** What stands for the functions of a shell: their names. */
const DOES = Object.fromEntries(["start", "test", "stop", "take", "anew", "renew", "end"].map((name) => ["_" + name, name]));

const OF_CARRIERS = ["attached", "alive", "tested", "proven", "answered", "superseded", "recycled", "lost", "refused"];

function happen(supervision, carriers, [name, ...args]) {
  if (name === "set") supervision[member(args[0])] = args[1];
  else if (name === "renewed") Object.assign(supervision, { _asking: false, _openBy: supervision._at() + OPEN_TIMEOUT }); // as restart() does
  else if (name === "rank") supervision._ranks = args[0].map((name) => supervision._all.find(({ _name }) => _name === name)).filter(Boolean);
  else {
    args = args.map((arg, i) => (TIMES[name]?.includes(i) ? milliseconds(arg) : arg));
    if (OF_CARRIERS.includes(name)) args[0] = carriers[args[0]] || { _over: true, _of: {} };
    supervision[member(name)](...args);
  }
}

/** An action as it stands in the vectors: carriers by their numbers, and without the words of a reason. */
function told([name, what, more]) {
  if (name === "renew" || name === "anew") return [name];
  if (name === "end") return [name, more];
  return name === "start" ? [name, what._id, what._of._name, ["carry", "open", "probe"][what._role]] : [name, what._id];
}

/** Seconds, as exactly as the vectors have them. */
function seconds(time) {
  return Math.round((time - START) * 1000) / 1e6;
}

for (const { name, transports, rules, jitter, steps } of vectors) {
  if (!rules.insists) continue; // whoever waits for a session's opening gives up; a page doesn't
  test(name, () => {
    const { upgrade = true, open_timeout = 30 } = rules;
    let now = START, count = 0, over = false;
    const wanted = transports.map(([name, kind]) => ({ name, kind }));
    const given = { attachTimeout: 5000, raceDelay: 250, upgrade };
    const make = function () {
      this._id = ++count;
    };
    const supervision = supervise(wanted, given, () => jitter, () => now, make, DOES);
    supervision._openBy = START + open_timeout * 1000;
    const carriers = {};
    for (const step of steps) {
      const where = `at ${step.at}, ${step.event}`;
      now = START + step.at * 1000;
      supervision._at();
      if (step.event.length) happen(supervision, carriers, step.event);
      const actions = supervision._turn();
      for (const [name, carrier] of actions) if (name === "start") carriers[carrier._id] = carrier;
      assert.deepEqual(actions.map(told), step.actions, where);
      if (step.post_at !== undefined) assert.ok(Math.abs(seconds(supervision._postAt || START) - step.post_at) < 1e-3, where);
      const deadline = supervision._deadline;
      over ||= step.event[0] === "over" || actions.some(([name]) => name === "end"); // then nobody asks any more
      if (over) assert.equal(step.deadline, null, where);
      else if (step.deadline === null) assert.ok(deadline > 1e11, `${where}: ${deadline}`);
      else assert.ok(Math.abs(seconds(deadline) - step.deadline) < 1e-3, `${where}: ${seconds(deadline)}, not ${step.deadline}`);
    }
  });
}
