// The types, both ways: what they allow compiles, what they forbid does not, and they name what is there.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import * as source from "../src/index.js";

const here = fileURLToPath(new URL(".", import.meta.url));
const declarations = join(here, "..", "types", "realtime.d.ts");

// Once for all tests here: what takes long is reading the declarations of the DOM.
const project = ts.getParsedCommandLineOfConfigFile(join(here, "types", "tsconfig.json"), {}, ts.sys);
const program = ts.createProgram([...project.fileNames, declarations], project.options);

test("right uses compile, and wrong ones do not", () => {
  const wrong = [...project.errors, ...ts.getPreEmitDiagnostics(program)];
  assert.equal(wrong.length, 0, ts.formatDiagnostics(wrong, { ...ts.sys, getCanonicalFileName: (name) => name, getNewLine: () => "\n" }));
});

const checker = program.getTypeChecker();
const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(declarations)));

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
  const values = exported.filter((symbol) => {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    return target.flags & ts.SymbolFlags.Value;
  });
  assert.deepEqual(values.map((symbol) => symbol.name).sort(), Object.keys(source).sort());
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

test("so has the class", () => {
  const typed = members(checker.getTypeOfSymbol(Class));
  for (const Realtime of [source.Realtime, source.default]) assert.deepEqual(visible(Realtime), typed);
});

test("a transport has what the types name; the rest is between it and the session", () => {
  const Transport = exported.find((symbol) => symbol.name === "Transport");
  for (const name of members(checker.getDeclaredTypeOfSymbol(Transport))) {
    for (const transport of source.all) assert.equal(typeof transport[name], "string", name);
  }
});
