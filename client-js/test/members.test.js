// Which private members one object may have: what members.json says is true of the source.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import vm from "node:vm";
import { parse } from "acorn";
import { ONE, TWO, WORDS } from "../arrange.js";
import { ROOT, SOURCE } from "../build.js";
import { strangers, watch } from "./members.js";

test("members that stand in one literal may meet", () => {
  let count = 0;
  for (const file of readdirSync(SOURCE, { recursive: true }).filter((name) => name.endsWith(".js"))) {
    (function see(node) {
      if (node.type === "ObjectExpression") {
        const names = node.properties.map(({ key }) => key.name).filter((name) => /^_/.test(name) && !/^_(placeholder|error)$/.test(name));
        assert.equal(strangers(names), undefined, file);
        count += names.length;
      }
      for (const value of Object.values(node)) for (const one of [value].flat()) if (one && typeof one.type === "string") see(one);
    })(parse(readFileSync(join(SOURCE, file), "utf8"), { ecmaVersion: 2020, sourceType: "module" }));
  }
  assert.ok(count > 60, `${count} members`);
});

test("those that are set later are watched by all tests of the source", () => {
  const window = vm.createContext({});
  watch({ Object: vm.runInContext("Object", window) });
  vm.runInContext("var carrier = {}; carrier._attached = carrier._over = carrier._kind = 1;", window);
  assert.throws(() => vm.runInContext("carrier._taken = 1;", window), /one object has _taken and _kind|one object has _kind and _taken/);
});

test("no short name is one that others know: who finds `on` takes an object for Node's", () => {
  const { members } = JSON.parse(readFileSync(join(ROOT, "names.json"), "utf8")), own = [...ONE.slice(0, 52), ...TWO];
  assert.deepEqual(Object.values(members).filter((name) => WORDS.includes(name) || !own.includes(name)), []);
});
