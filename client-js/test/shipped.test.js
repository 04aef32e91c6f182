// The gates that dist/ passes: it is what the source builds, small enough, ES3, and leaves the page alone.

import "./patient.cjs";
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import vm from "node:vm";
import { parse } from "acorn";
import { build as esbuild } from "esbuild";
import { rollup } from "@rollup/wasm-node";
import { minify } from "terser";
import { all } from "../src/all.js";
import { costs } from "../costs.js";
import { opened } from "./browser.js";
import { BUDGET, build, DIST, gzipped, manifest, options, ROOT, sizes, tree, verdict } from "../build.js";

const temporary = mkdtempSync(join(tmpdir(), "realtime-"));
after(() => rmSync(temporary, { recursive: true }));

const shipped = (file) => readFileSync(join(DIST, file), "utf8");

test("dist/ is what the source builds", async () => {
  await build(temporary);
  assert.deepEqual(readdirSync(DIST).sort(), readdirSync(temporary).sort());
  for (const file of readdirSync(DIST)) {
    assert.ok(shipped(file) === readFileSync(join(temporary, file), "utf8"), `${file} is stale: npm run build`);
  }
});

test("the sizes are within the budget", async (t) => {
  const { fits, text } = verdict(await sizes());
  t.diagnostic(text);
  assert.ok(fits, text);
});

for (const file of ["realtime.js", "realtime.cjs", "events.js", "events.cjs", "webtransport.js", "webtransport.cjs"]) {
  test(`${file} is ES3, reserved words and all`, () => {
    parse(shipped(file), { ecmaVersion: 3, allowReserved: "never" });
    assert.match(shipped(file), /^[\x00-\x7f]*$/);
  });
}

test("in Node nobody looks at localStorage, since from 25 on a look at it warns", () => {
  const script = `
    let looks = 0;
    Object.defineProperty(globalThis, "localStorage", { configurable: true, get: () => (looks++, undefined) });
    const { default: Realtime } = require(${JSON.stringify(join(DIST, "realtime.cjs"))});
    const session = new Realtime("http://127.0.0.1:1/");
    session.onclose = () => console.log("looks", looks);
    session.close();
  `;
  assert.deepEqual(spawnSync(process.execPath, ["-e", script], { encoding: "utf8" }).stdout, "looks 0\n");
});

for (const file of ["realtime.mjs", "events.mjs", "webtransport.mjs"]) {
  test(`${file} is ES3 but for its exports`, () => {
    const { body } = parse(shipped(file), { ecmaVersion: 6, sourceType: "module" });
    const rest = body.filter((node) => node.type !== "ExportNamedDeclaration");
    assert.equal(body.length - rest.length, 1);
    assert.equal(body[body.length - 1].type, "ExportNamedDeclaration");
    const code = rest.map((node) => shipped(file).slice(node.start, node.end)).join("");
    parse(code, { ecmaVersion: 3, allowReserved: "never" });
  });
}

test("each file names its version, licence and map, and maps to the source", async () => {
  const { name, version, license } = await manifest();
  const files = ["realtime", "events", "webtransport"].flatMap((module) => ["js", "mjs", "cjs"].map((form) => `${module}.${form}`));
  for (const file of files) {
    assert.ok(shipped(file).startsWith(`/*! ${name} ${version} | ${license} */\n`));
    assert.ok(shipped(file).endsWith(`\n//# sourceMappingURL=${file}.map\n`));
    const map = JSON.parse(shipped(file + ".map"));
    assert.equal(map.file, file);
    map.sources.forEach((source, i) => {
      assert.match(source, /^\.\.\/src\//);
      assert.equal(map.sourcesContent[i], readFileSync(join(DIST, source), "utf8"));
    });
  }
});

// What an ES3 engine lacks. JSON stays: pages for IE 7 bring their own.
const PRELUDE = `
  (function (missing) {
    for (var owner in missing) {
      var target = owner === "Array#" ? Array.prototype : owner === "String#" ? String.prototype
        : owner === "Function#" ? Function.prototype : owner === "Date#" ? Date.prototype
        : owner === "Array" ? Array : owner === "Date" ? Date : Object;
      for (var i = 0; i < missing[owner].length; i++) delete target[missing[owner][i]];
    }
    if ([].indexOf || "".trim || print.bind || Object.keys || Date.now) throw "the prelude does not delete";
  })({
    "Array#": ["every", "filter", "forEach", "indexOf", "lastIndexOf", "map", "reduce", "reduceRight", "some"],
    "String#": ["trim"],
    "Function#": ["bind"],
    "Date#": ["toISOString", "toJSON"],
    "Array": ["isArray"],
    "Date": ["now"],
    "Object": ["create", "defineProperties", "defineProperty", "freeze", "getOwnPropertyDescriptor",
      "getOwnPropertyNames", "getPrototypeOf", "isExtensible", "isFrozen", "isSealed", "keys", "preventExtensions", "seal"]
  });
`;

const mujs = spawnSync("mujs", ["--version"]).error ? "mujs is not installed (Debian: apt-get install mujs)" : false;

function runInMujs(code) {
  const script = join(temporary, "script.js");
  writeFileSync(script, PRELUDE + code);
  return execFileSync("mujs", [script], { encoding: "utf8" });
}

test("an ES3 engine loads realtime.js", { skip: mujs }, () => {
  const code = 'var window = this, self = this, location = { protocol: "http:", host: "a.example", href: "http://a.example/" };';
  const said = runInMujs(`${code}\n${shipped("realtime.js")}\nprint(typeof Realtime, Realtime.OPEN, Realtime.CLOSED);`);
  assert.equal(said, "function 1 3\n");
});

test("an ES3 engine reads frames with the decoder, made small as it is shipped", { skip: mujs }, async () => {
  const bundled = await rollup({ input: join(ROOT, "test", "vectors.js") });
  const { output } = await bundled.generate({ format: "cjs", generatedCode: "es5", strict: false, esModule: false });
  const settings = options("iife", "vectors.js", "", null, {});
  delete settings.mangle.properties.nth_identifier; // names of private members, which build() gives later
  const { code } = await minify(output[0].code, settings);
  // Not opens and batches: those are JSON, which is the engine's business.
  const cases = ["frames", "attaches", "refusals"].map((name) => {
    return JSON.parse(readFileSync(join(ROOT, "..", "tests", "vectors", `${name}.json`), "utf8"));
  });
  const rooms = JSON.stringify(JSON.parse(readFileSync(join(ROOT, "..", "tests", "vectors", "rooms.json"), "utf8")));
  const said = runInMujs(`var window = this, self = this, exports = {};
    ${code}
    var result = exports.runFrames(${ascii(JSON.stringify(cases.flat()))}), rooms = exports.runRooms(${ascii(rooms)}), i;
    result.failures = result.failures.concat(rooms.failures);
    for (i = 0; i < result.failures.length; i++) print(result.failures[i]);
    print(result.count > 100, rooms.count > 40);`);
  assert.equal(said, "true true\n");
});

function ascii(json) {
  return json.replace(/[\x7f-\uffff]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

/** Everything reachable from the global object by its names: `Array.prototype.map` and so on, with what is there. */
function inventory(context) {
  return vm.runInContext(
    `(function () {
      var found = new Map(), describe = Object.getOwnPropertyDescriptor, names = Object.getOwnPropertyNames;
      (function visit(path, object, depth) {
        names(object).concat(Object.getOwnPropertySymbols(object)).forEach(function (name) {
          var property = describe(object, name), where = path + "." + String(name), value = property.value;
          found.set(where, value || property.get);
          if (depth && value && /^(object|function)$/.test(typeof value) && value !== object) visit(where, value, depth - 1);
        });
      })("", globalThis, 3);
      return found;
    })()`,
    context
  );
}

test("a page gets one global, Realtime, and nothing of its own is changed", () => {
  const context = vm.createContext({ setTimeout, clearTimeout });
  vm.runInContext("var window = this, self = this;", context);
  const before = inventory(context);
  vm.runInContext(shipped("realtime.js"), context);
  const changed = new Set();
  for (const [where, what] of inventory(context)) {
    if (!before.has(where) || before.get(where) !== what) changed.add(where.split(".")[1]);
    if (before.has(where)) before.delete(where);
  }
  assert.deepEqual([...changed], ["Realtime"]);
  assert.deepEqual([...before.keys()], [], "these are gone");
});

test("the script for events adds one global, RealtimeEvents", () => {
  const context = vm.createContext({});
  vm.runInContext(shipped("events.js"), context);
  assert.deepEqual(Object.keys(context), ["RealtimeEvents"]);
});

test("the script for WebTransport adds one global, RealtimeWebTransport, and the core knows nothing of it", () => {
  const context = vm.createContext({});
  vm.runInContext("var self = this;" + shipped("webtransport.js"), context);
  assert.deepEqual(Object.keys(context), ["self", "RealtimeWebTransport"]);
  assert.doesNotMatch(shipped("realtime.js"), /webtransport/i);
});

test("an ES3 engine speaks events with the scripts as they are shipped", { skip: mujs }, () => {
  const said = runInMujs(`
    var window = this, self = this, sent = [], socket, location = { protocol: "http:", host: "a.example", href: "http://a.example/" };
    var document = { createElement: function () { return {}; } };
    function setTimeout() {}
    function clearTimeout() {}
    function WebSocket() {
      socket = this;
      this.bufferedAmount = 0;
      this.send = function (data) { print(data); };
    }
    ${shipped("realtime.js")}
    ${shipped("events.js")}
    var session = new Realtime("http://a.example/chat", { transports: ["websocket"] });
    var chat = RealtimeEvents(session, { auth: { name: "ada" } });
    function hear(data) { socket.onmessage({ data: data }); }
    chat.on("sum", function (one, other) { return one + other; });
    socket.onopen();
    hear(${JSON.stringify(opened())});
    hear('m0{"sid":"me"}');
    chat.emit("text", [1, { a: null }]);
    chat.emit("ask", function (error, answer) { print(error, answer); });
    hear('m25["sum",1,2]');
    hear('m31["yes"]');`);
  const messages = said.split("\n").filter((line) => !/^[ao]/.test(line)); // nor what opens the session
  assert.deepEqual(messages, ['m0{"name":"ada"}', 'm2["text",[1,{"a":null}]]', 'm21["ask"]', "m35[3]", "null yes", ""]);
});

test("the script may be loaded twice", () => {
  const context = vm.createContext({ setTimeout, clearTimeout });
  vm.runInContext("var window = this, self = this;", context);
  for (let i = 0; i < 2; i++) {
    vm.runInContext(shipped("realtime.js"), context);
    assert.equal(vm.runInContext("typeof Realtime + Realtime.OPEN", context), "function1");
  }
});

const TRANSPORTS = all.map(({ name }) => name);
const NAMES = ["Realtime", "durable", "requests", "cursors", ...TRANSPORTS];

test("import and require give the same names, without a page too", async () => {
  const imported = await import("aiohttp-realtime");
  const required = createRequire(import.meta.url)("aiohttp-realtime");
  assert.deepEqual(Object.keys(imported).sort(), [...NAMES, "all", "default"].sort());
  assert.deepEqual(Object.keys(required).sort(), [...NAMES, "__esModule", "all", "default"].sort());
  for (const name of NAMES) assert.equal(typeof imported[name], typeof required[name]);
  assert.equal(createRequire(import.meta.url)("aiohttp-realtime/package.json").name, "aiohttp-realtime");
  const layers = [await import("aiohttp-realtime/events"), createRequire(import.meta.url)("aiohttp-realtime/events")];
  for (const layer of layers) {
    assert.deepEqual(Object.keys(layer).filter((name) => name !== "__esModule").sort(), ["EventError", "events"]);
    assert.equal(typeof layer.events, "function");
  }
  const modules = [await import("aiohttp-realtime/webtransport"), createRequire(import.meta.url)("aiohttp-realtime/webtransport")];
  for (const { webtransport } of modules) assert.equal(webtransport().name, "webtransport");
});

async function withRollup(code) {
  const entry = join(temporary, "entry.mjs");
  writeFileSync(entry, code.replace("./realtime.mjs", join(DIST, "realtime.mjs")));
  const bundled = await rollup({ input: entry });
  return (await bundled.generate({ format: "es" })).output[0].code;
}

for (const [bundler, make] of [
  ["esbuild", tree],
  ["rollup", withRollup]
]) {
  test(`${bundler} drops the transports that nobody imports`, async () => {
    for (const wanted of [[], ["websocket", "long_polling"], ["sse"], ["jsonp"], TRANSPORTS]) {
      const code = await make(`export { ${["Realtime", ...wanted]} } from "./realtime.mjs";`);
      const kept = TRANSPORTS.filter((name) => code.includes(`name:"${name}"`));
      assert.deepEqual(
        kept,
        TRANSPORTS.filter((name) => wanted.includes(name))
      );
    }
    assert.equal((await make('import "./realtime.mjs";')).trim(), "");
  });
}

test("npm packs what package.json names, and the licence", async () => {
  const { exports, main, module, types, unpkg, jsdelivr } = await manifest();
  const named = [main, module, types, unpkg, jsdelivr, ...leaves(exports)].map((path) => path.replace("./", ""));
  const [{ files }] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: ROOT, encoding: "utf8" }));
  const packed = files.map((file) => file.path);
  for (const path of [...named, "LICENSE", "README.md"]) assert.ok(packed.includes(path), path);
  for (const path of packed) assert.match(path, /^(dist\/|package\.json$|README\.md$|LICENSE$)/);
});

function leaves(tree) {
  return typeof tree === "string" ? [tree] : Object.values(tree).flatMap(leaves);
}

test("the bundler's example builds, from the package as it is published, within its budget", async (t) => {
  const example = join(ROOT, "examples", "bundler");
  const { outputFiles, metafile } = await esbuild({
    entryPoints: [join(example, "chat.js")],
    bundle: true,
    minify: true,
    write: false,
    metafile: true
  });
  const inputs = Object.keys(metafile.inputs).map((path) => path.split("/").slice(-2).join("/"));
  assert.deepEqual(inputs.sort(), ["bundler/chat.js", "dist/realtime.mjs"]);
  const budget = Object.values(BUDGET)[1] + gzipped(readFileSync(join(example, "chat.js")));
  const size = gzipped(outputFiles[0].text);
  t.diagnostic(`${size} bytes gzipped`);
  assert.ok(size <= budget, `${size} bytes gzipped`);
});

test("docs/javascript.md says what each part costs", async () => {
  const page = readFileSync(join(ROOT, "..", "docs", "javascript.md"), "utf8");
  const [, table] = /<!-- costs -->\n\n.*\n.*\n((?:\|.*\n)+)/.exec(page);
  const said = Object.fromEntries(table.trim().split("\n").map((line) => line.split("|").slice(1, 3).map((cell) => cell.trim())));
  const found = await costs();
  assert.deepEqual(Object.keys(said), found.map(([what]) => what));
  for (const [what, bytes] of found) {
    // Names that are chosen anew shift some from one to the other.
    assert.ok(Math.abs(said[what] - bytes) <= 30 + bytes / 10, `${what}: ${bytes} bytes, npm run costs`);
  }
});
