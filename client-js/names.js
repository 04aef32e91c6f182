// Which short names and which order of functions gzip likes best: `npm run names`, after the source has changed much.
//
// Which name is whose, and what stands where, changes nothing but how well the rest compresses, by four per cent. A search,
// the same each time, changes names of variables and private members and moves functions for as long as that helps, and
// writes names.json, which build.js reads.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "acorn";
import { ONE, TWO, clash, order, print, sorter, treeOf, variables, visit } from "./arrange.js";
import { bundle, gzipped, options, ROOT, SOURCE, tree, writeTemporary } from "./build.js";

const STEPS = +process.argv[2] || 60000;
const SEED = +process.argv[3] || 1;
const WARM = +process.argv[4] || 1; // bytes: how much worse it may be for a while, at first

const VARIABLE = 0x4000, MEMBER = 0x6000; // characters that stand for names while they are looked for
const MARKS = /([\u4000-\u7fff])/;

const before = JSON.parse(await readFile(join(ROOT, "names.json"), "utf8"));

/** Chance that is the same each time (mulberry32). */
function dice(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) / 4294967296) * below;
  };
}

/** One bundle as a tree, with marks for the names of members; `cache` learns which member has which. */
async function marked(entry, format, cache) {
  const chunk = await bundle(join(SOURCE, entry), format);
  const settings = options(format, "x.js", "", null, cache);
  settings.mangle.properties.nth_identifier = { get: (n) => String.fromCharCode(MEMBER + n) };
  settings.format.ascii_only = false;
  return { ast: await treeOf({ "x.js": chunk.code }, settings), settings };
}

// See STILL in arrange.js.
const STILL = /^(FunctionExpression|Identifier|Literal)$/;
const isStill = ({ type, argument }) => STILL.test(type) || (type === "UnaryExpression" && argument.type === "Literal");

/**
 * A text as pieces: strings, marks, and lists of what can be put in another order: {rank, items: [[name, pieces]], between}.
 * `nameOf(n)` is the name in the source of the n-th function that is declared, `keyOf(key)` that of a member.
 */
function pieces(text, nameOf, keyOf) {
  let count = 0;
  const program = parse(text, { ecmaVersion: 2020, sourceType: "module" });
  const numbers = new Map();
  const lists = []; // {start, end, make}, outer ones first
  (function see(node) {
    if (!node || typeof node.type !== "string") return;
    if (node.type === "FunctionDeclaration") numbers.set(node, count++);
    const body = node.type === "Program" ? node.body : /Function/.test(node.type) ? node.body.body : [];
    if (body.some(({ type }) => type === "FunctionDeclaration")) {
      const declared = body.filter(({ type }) => type === "FunctionDeclaration"), rest = body.filter(({ type }) => type !== "FunctionDeclaration");
      lists.push({
        start: body[0].start,
        end: body[body.length - 1].end,
        make: () => [
          { rank: "functions", items: declared.map((one) => [nameOf(numbers.get(one)), cut(one.start, one.end)]), between: "" },
          ...rest.flatMap((one, i) => cut(one.start, i < rest.length - 1 || text[one.end - 1] !== ";" ? one.end : one.end - 1))
        ]
      });
    }
    if (node.type === "ObjectExpression" && node.properties.length > 1 && node.properties.every(({ value }) => isStill(value))) {
      const named = (one) => one.key.name || one.key.value;
      lists.push({
        start: node.properties[0].start,
        end: node.properties[node.properties.length - 1].end,
        make: () => [{ rank: "order", items: node.properties.map((one) => [keyOf(named(one)), cut(one.start, one.end)]), between: "," }]
      });
    }
    for (const value of Object.values(node)) for (const one of [value].flat()) if (one && typeof one === "object") see(one);
  })(program);

  function cut(start, end) {
    const inside = lists.filter((list) => list.start >= start && list.end <= end && !list.done);
    const parts = [];
    for (const list of inside) {
      if (list.done || list.start < start) continue;
      list.done = true;
      parts.push(...text.slice(start, list.start).split(MARKS), ...list.make());
      start = list.end;
    }
    return [...parts, ...text.slice(start, end).split(MARKS)];
  }
  return cut(0, text.length);
}

const cache = {};
const script = await marked("legacy.js", "iife", cache);
delete cache.vars;
const module = await marked("index.js", "es", cache);
const sources = {}; // mark -> name in the source
for (const [name, mark] of Object.entries(cache.props.props)) sources[mark] = name.slice(1);

const { list: vars } = variables(script.ast, false);
vars.forEach((one, i) => {
  one.given = one.def.mangled_name;
  one.mark = one.def.mangled_name = String.fromCharCode(VARIABLE + i);
});
const keyOf = (key) => sources[key] || key;
// As it is built now: a bundler's names depend on what stands where, and this search does not ask it again.
const now = { ...before, members: Object.fromEntries(Object.entries(sources).map(([mark, name]) => [name, mark])) };
for (const { ast } of [script, module]) order(ast, now);
/** The names of functions that are declared, as the source has them. */
const declared = (code) => {
  const found = [];
  (function see(node) {
    if (node.type === "FunctionDeclaration") found.push(node.id.name);
    for (const value of Object.values(node)) for (const one of [value].flat()) if (one && typeof one.type === "string") see(one);
  })(parse(code, { ecmaVersion: 2020, sourceType: "module" }));
  return found;
};
const marks = Object.fromEntries(vars.map((one) => [one.mark, one.def.name]));
const scriptText = (await print(script.ast, script.settings)).code.replace(/"([\u6000-\u7fff])":/g, "$1:"); // it will be an identifier
const scriptNames = declared(scriptText).map((mark) => marks[mark]);

// Functions of the module keep their names, to be known.
visit(module.ast, (node) => {
  if (node.TYPE === "SymbolDefun") node.thedef.mangled_name = node.name;
});
const moduleText = (await print(module.ast, module.settings)).code;
const WANTED = `export { Realtime, websocket, long_polling } from './realtime.mjs'`;
const [two, named] = await writeTemporary(moduleText, async (into) => [
  await tree(WANTED, into, "utf8"),
  await tree(WANTED, into, "utf8", { minify: false, minifySyntax: true, minifyWhitespace: true })
]);
const twoNames = declared(named);
const texts = [pieces(scriptText, (n) => scriptNames[n], keyOf), pieces(two, (n) => twoNames[n], keyOf)];

// What it goes on from: where the last search has ended.
const names = {};
const members = [...new Set((scriptText + two).match(new RegExp(MARKS, "g")))].filter((mark) => mark.charCodeAt() >= MEMBER);
const owners = new Map();
const free = (one, short, but) => !(owners.get(short) || []).some((other) => other !== but && other !== one && clash(one, other));
function rename(one, short) {
  const old = names[one.mark];
  if (old) owners.set(old, owners.get(old).filter((other) => other !== one));
  names[one.mark] = short;
  owners.set(short, [...(owners.get(short) || []), one]);
}
for (const one of vars) if (before.variables[one.key] && free(one, before.variables[one.key])) rename(one, before.variables[one.key]);
// Else by terser's choice.
for (const one of vars) {
  if (names[one.mark]) continue;
  rename(one, [one.given, ...ONE, ...TWO].find((candidate) => candidate && free(one, candidate)));
}
const taken = new Set();
for (const mark of members) {
  const name = before.members[sources[mark]];
  if (name && !taken.has(name)) taken.add((names[mark] = name));
}
// No object of ours has members of others' with names so short.
const short = [ONE.slice(0, 52), TWO];
for (const mark of members) if (!names[mark]) taken.add((names[mark] = short.flat().find((name) => !taken.has(name))));

/** All names that are sorted so. */
function sorted(rank, parts, found = new Set()) {
  for (const part of parts) {
    for (const [name, inner] of part.items || []) {
      if (part.rank === rank) found.add(name);
      sorted(rank, inner, found);
    }
  }
  return found;
}
const ranks = {};
for (const rank of ["functions", "order"]) {
  const all = [...new Set(texts.flatMap((parts) => [...sorted(rank, parts)]))];
  ranks[rank] = [...before[rank].filter((name) => all.includes(name)), ...all.filter((name) => !before[rank].includes(name))];
}

/** The pieces in order: strings, and marks as arrays of one. */
function flat(parts, sort, into = []) {
  parts.forEach((part, i) => {
    if (part.items) {
      const items = [...part.items].sort((one, other) => sort[part.rank](one[0], other[0]));
      items.forEach(([, inner], n) => {
        if (n && part.between) into.push(part.between);
        flat(inner, sort, into);
      });
    } else if (MARKS.test(part)) into.push([part]);
    else if (part) into.push(part.replace(/[^\x00-\x7f]/g, (one) => "\\u" + one.charCodeAt(0).toString(16).padStart(4, "0")));
  });
  return into;
}
let orders = [];
const lay = () => {
  const sort = { functions: sorter(ranks.functions), order: sorter(ranks.order) };
  return texts.map((parts) => flat(parts, sort));
};
const measure = (which) => gzipped(orders[which].map((part) => (typeof part === "string" ? part : names[part[0]])).join(""));
orders = lay();
const sizes = () => [measure(0), measure(1)];

const random = dice(SEED), pick = (list) => list[Math.floor(random(list.length))];
let found = sizes(), best = found[0] + found[1], kept = null;
console.log("before:", best, found);
keep();

/** Makes a change; returns what undoes it, and whether it concerns the module's text, too. Nothing if there is none. */
function change() {
  const kind = random(10);
  if (kind < 4) {
    const one = pick(vars), old = names[one.mark];
    // The name of another, the more used the likelier, or one that nobody may have.
    const name = random(6) < 5 ? names[pick(vars).mark] : pick(random(2) < 1 ? ONE : TWO);
    if (name === old) return null;
    const others = (owners.get(name) || []).filter((other) => clash(one, other));
    if (others.length > 3 || others.some((other) => !free(other, old, one))) return null;
    // Those in its way get its own.
    for (const other of others) rename(other, old);
    rename(one, name);
    return { whole: false, undo: () => [one, ...others].forEach((other) => rename(other, other === one ? old : name)) };
  }
  if (kind < 7) {
    const one = pick(members), old = names[one], all = short[old.length - 1];
    const name = random(4) < 3 ? names[pick(members)] : pick(all);
    const other = members.find((mark) => names[mark] === name);
    if (other === one) return null;
    names[one] = name;
    if (other) names[other] = old;
    return {
      whole: true,
      undo: () => {
        names[one] = old;
        if (other) names[other] = name;
      }
    };
  }
  const rank = random(3) < 2 ? "functions" : "order", old = ranks[rank], moved = pick(old), rest = old.filter((name) => name !== moved);
  rest.splice(Math.floor(random(rest.length + 1)), 0, moved);
  const laid = orders;
  ranks[rank] = rest;
  orders = lay();
  return {
    whole: true,
    undo: () => {
      ranks[rank] = old;
      orders = laid;
    }
  };
}

for (let step = 1; step <= STEPS; step++) {
  const made = change();
  if (made) {
    const next = [measure(0), made.whole ? measure(1) : found[1]];
    const worse = next[0] + next[1] - found[0] - found[1], warmth = WARM * (1 - step / STEPS);
    if (worse <= 0 || random(1) < Math.exp(-worse / (warmth || 1e-9))) found = next;
    else made.undo();
    if (found[0] + found[1] < best) {
      best = found[0] + found[1];
      keep();
    }
  }
  if (step % 2000 === 0) {
    console.log(`${step}: ${found} (best ${best})`);
    await save();
  }
}
await save();
console.log("after:", best);

function keep() {
  kept = {
    variables: Object.fromEntries(vars.map((one) => [one.key, names[one.mark]]).sort()),
    members: Object.fromEntries(members.map((mark) => [sources[mark], names[mark]]).sort()),
    functions: ranks.functions,
    order: ranks.order
  };
}

async function save() {
  await writeFile(join(ROOT, "names.json"), JSON.stringify(kept, null, 1) + "\n");
}
