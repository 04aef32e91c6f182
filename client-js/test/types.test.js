// The types, both ways: what they allow compiles, what they forbid does not, and they name what is there.

import "./patient.cjs";
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import * as source from "../src/index.js";
import * as layer from "../src/namespaces.js";
import * as another from "../src/webtransport.js";

const here = fileURLToPath(new URL(".", import.meta.url));
const declarations = join(here, "..", "types", "realtime.d.ts");
const ofEvents = join(here, "..", "types", "events.d.ts");
const ofAnother = join(here, "..", "types", "webtransport.d.ts");

// Once for all tests here: what takes long is reading the declarations of the DOM.
const project = ts.getParsedCommandLineOfConfigFile(join(here, "types", "tsconfig.json"), {}, ts.sys);
const program = ts.createProgram([...project.fileNames, declarations, ofEvents, ofAnother], project.options);

test("right uses compile, and wrong ones do not", () => {
  const wrong = [...project.errors, ...ts.getPreEmitDiagnostics(program)];
  assert.equal(wrong.length, 0, ts.formatDiagnostics(wrong, { ...ts.sys, getCanonicalFileName: (name) => name, getNewLine: () => "\n" }));
});

const checker = program.getTypeChecker();
const exportsOf = (file) => checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file)));
const exported = exportsOf(declarations);

/** Those that are there when it runs. */
function values(symbols) {
  return symbols
    .filter((symbol) => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol).flags & ts.SymbolFlags.Value)
    .map((symbol) => symbol.name)
    .sort();
}

function members(type) {
  return type
    .getProperties()
    .map((property) => property.name)
    .filter((name) => name !== "prototype")
    .sort();
}

/** The names on an object and its prototypes, but for those that begin with "_" and those that every object has. */
function visible(object) {
  const names = new Set();
  for (
    let one = object;
    one && one !== Object.prototype && one !== Function.prototype;
    one = Object.getPrototypeOf(one)
  ) {
    for (const name of Object.getOwnPropertyNames(one)) names.add(name);
  }
  for (const name of ["constructor", "prototype", "length", "name", "arguments", "caller"]) {
    if (typeof object === "function" || name === "constructor") names.delete(name);
  }
  return [...names].filter((name) => !name.startsWith("_")).sort();
}

test("the module exports what the types name, and nothing else", () => {
  assert.deepEqual(values(exported), Object.keys(source).sort());
  assert.deepEqual(values(exportsOf(ofEvents)), Object.keys(layer).sort());
  assert.deepEqual(values(exportsOf(ofAnother)), Object.keys(another).sort());
});

const Class = exported.find((symbol) => symbol.name === "Realtime");

test("a session has the members that the types name, and no others", () => {
  const typed = members(checker.getDeclaredTypeOfSymbol(Class));
  for (const Realtime of [source.Realtime, source.default]) {
    const session = new Realtime("http://realtime.example/", { transports: source.all });
    try {
      assert.deepEqual(visible(session), typed);
      assert.equal(session instanceof source.Realtime, true);
    } finally {
      session.close();
    }
  }
});

test("a namespace, and the error of a call, have the members that the types name", () => {
  const session = new source.Realtime("http://realtime.example/", { transports: source.all });
  try {
    const typed = (name) => members(checker.getDeclaredTypeOfSymbol(exportsOf(ofEvents).find((symbol) => symbol.name === name)));
    assert.deepEqual(visible(layer.events(session, { auth: {} })), typed("Namespace"));
    const error = visible(new layer.EventError("no")).filter((name) => !["name", "toString"].includes(name)); // toString: in Node
    assert.deepEqual(error, typed("EventError").filter((name) => !["cause", "name"].includes(name)));
  } finally {
    session.close();
  }
});

test("so has the class", () => {
  const typed = members(checker.getTypeOfSymbol(Class));
  for (const Realtime of [source.Realtime, source.default]) assert.deepEqual(visible(Realtime), typed);
});

test("a transport has what the types name; the rest is between it and the session", () => {
  const Transport = exported.find((symbol) => symbol.name === "Transport");
  for (const name of members(checker.getDeclaredTypeOfSymbol(Transport))) {
    for (const transport of [...source.all, another.webtransport()]) assert.equal(typeof transport[name], "string", name);
  }
});
