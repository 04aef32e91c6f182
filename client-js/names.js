// Which short names and which order of functions gzip likes best: `npm run names`, after the source has changed much.
//
// Which name is whose, and what stands where, changes nothing but how well the rest compresses, by four per cent. A search,
// the same each time, changes names of variables and private members and moves functions for as long as that helps, and
// writes names.json, which build.js reads.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "acorn";
import { ONE, TWO, clash, declared, print, statements, treeOf, variables } from "./arrange.js";
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

/** A text in pieces: what stands before, the statements that can be put elsewhere, by name, and what stands behind. */
function pieces(text, names, module) {
  const { body } = parse(text, { ecmaVersion: 2020, sourceType: "module" });
  let list = body;
  if (!module) list = body[0].declarations[0].init.callee.body.body;
  const functions = {}, rest = [];
  list.forEach((node, i) => {
    const part = text.slice(node.start, node.end);
    if (names[i]) functions[names[i]] = part.split(MARKS);
    else rest.push(part);
  });
  return {
    functions,
    head: text.slice(0, list[0].start).split(MARKS),
    tail: (rest.join("") + text.slice(list[list.length - 1].end)).split(MARKS)
  };
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
const scriptNames = statements(script.ast).map(declared);
const scriptText = (await print(script.ast, script.settings)).code;

const moduleText = (await print(module.ast, module.settings)).code;
const WANTED = `export { Realtime, websocket, long_polling } from './realtime.mjs'`;
const [two, twoNames] = await writeTemporary(moduleText, async (into) => {
  const named = await tree(WANTED, into, "utf8", { minify: false, minifySyntax: true, minifyWhitespace: true });
  return [await tree(WANTED, into, "utf8"), parse(named, { ecmaVersion: 2020, sourceType: "module" }).body.map((node) => node.id?.name)];
});
const shown = new Map(); // names of the module's functions are those of the source
for (const statement of statements(module.ast)) {
  if (declared(statement)) shown.set(statement.name.definition().mangled_name || statement.name.name, statement.name.name);
}
const texts = [pieces(scriptText, scriptNames, false), pieces(two, twoNames.map((name) => shown.get(name)), true)];

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

const all = [...new Set(texts.flatMap(({ functions }) => Object.keys(functions)))];
let order = [...before.order.filter((name) => all.includes(name)), ...all.filter((name) => !before.order.includes(name))];

const text = (parts) => parts.map((part, i) => (i & 1 ? names[part] : part)).join("");
const measure = (which) => {
  const { head, functions, tail } = texts[which];
  return gzipped(text(head) + order.map((name) => (functions[name] ? text(functions[name]) : "")).join("") + text(tail));
};
const sizes = () => [measure(0), measure(1)];

const random = dice(SEED), pick = (list) => list[Math.floor(random(list.length))];
let now = sizes(), best = now[0] + now[1], kept = null;
console.log("before:", best, now);
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
  const old = order, moved = pick(order), rest = order.filter((name) => name !== moved);
  rest.splice(Math.floor(random(rest.length + 1)), 0, moved);
  order = rest;
  return { whole: true, undo: () => (order = old) };
}

for (let step = 1; step <= STEPS; step++) {
  const made = change();
  if (made) {
    const found = [measure(0), made.whole ? measure(1) : now[1]];
    const worse = found[0] + found[1] - now[0] - now[1], warmth = WARM * (1 - step / STEPS);
    if (worse <= 0 || random(1) < Math.exp(-worse / (warmth || 1e-9))) now = found;
    else made.undo();
    if (now[0] + now[1] < best) {
      best = now[0] + now[1];
      keep();
    }
  }
  if (step % 2000 === 0) {
    console.log(`${step}: ${now} (best ${best})`);
    await save();
  }
}
await save();
console.log("after:", best);

function keep() {
  kept = {
    variables: Object.fromEntries(vars.map((one) => [one.key, names[one.mark]]).sort()),
    members: Object.fromEntries(members.map((mark) => [sources[mark], names[mark]]).sort()),
    order
  };
}

async function save() {
  await writeFile(join(ROOT, "names.json"), JSON.stringify(kept, null, 1) + "\n");
}
