// Which short names and which order of functions gzip likes best: `npm run names`, after the source has changed much.
//
// Which name is whose, and what stands where, changes nothing but how well the rest compresses, by four per cent. A search,
// the same each time, changes names of variables and private members and moves functions, and what is declared together, for as long as
// that helps, and writes names.json, which build.js reads.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "acorn";
import { asParameters, MARK, ONE, TWO, clash, meeting, order, print, runs, sorter, sourcesOf, treeOf, variables, visit } from "./arrange.js";
import { BESIDE, bundle, gzipped, options, ROOT, SCRIPTS, SOURCE, tree, USUAL, writeTemporary } from "./build.js";

const STEPS = +process.argv[2] || 60000;
const SEED = +process.argv[3] || 1;
const WARM = +process.argv[4] || 0.05; // bytes: how much worse it may be for a while, at first
const MUCH = 4; // bytes

const RANKS = ["functions", "order", "declared"]; // what can be put in another order: see order() in arrange.js
const VARIABLE = 0x4000; // characters that stand for names while they are looked for, as MARK does for private members
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
async function marked(file, entry, format, cache) {
  const chunk = await bundle(join(SOURCE, entry), format);
  const settings = options(format, file, "", null, cache);
  settings.format.ascii_only = false;
  return { ast: await treeOf({ [file]: chunk.code }, settings), settings };
}

// See STILL in arrange.js.
const STILL = /^(FunctionExpression|Identifier|Literal)$/;
const isStill = ({ type, argument }) => STILL.test(type) || (type === "UnaryExpression" && argument.type === "Literal");

// See isPlain() in arrange.js; numbers are not negative.
const isPlain = ({ type, value, elements, properties }) => (type === "Literal" && typeof value !== "object") || elements?.length === 0 || properties?.length === 0;

/**
 * A text as pieces: strings, marks, and lists of what can be put in another order: {rank, items: [[name, pieces]], between}.
 * `nameOf(n)` is the name in the source of the n-th function that is declared, `keyOf(key)` that of a member; `marked` are the variables
 * by their marks.
 */
function pieces(text, nameOf, keyOf, marked = {}) {
  let count = 0;
  const program = parse(text, { ecmaVersion: 2020, sourceType: "module" });
  const numbers = new Map();
  const lists = []; // {start, end, make}, outer ones first
  (function see(node) {
    if (!node || typeof node.type !== "string") return;
    if (node.type === "FunctionDeclaration") numbers.set(node, count++);
    const body = node.type === "Program" ? node.body : /Function/.test(node.type) ? node.body.body : [];
    // In each module they stand in front, and there may be several modules.
    for (let at = 0, next; at < body.length; at = next) {
      for (next = at; next < body.length && body[next].type === "FunctionDeclaration"; ) next++;
      const declared = body.slice(at, next);
      if (declared.length > 1) {
        lists.push({
          start: declared[0].start,
          end: declared[declared.length - 1].end,
          make: () => [{ rank: "functions", items: declared.map((one) => [nameOf(numbers.get(one)), cut(one.start, one.end)]), between: "" }]
        });
      }
      if (next === at) next++;
    }
    if (node.type === "ObjectExpression" && node.properties.length > 1 && node.properties.every(({ value }) => isStill(value))) {
      const named = (one) => one.key.name || one.key.value;
      lists.push({
        start: node.properties[0].start,
        end: node.properties[node.properties.length - 1].end,
        make: () => [{ rank: "order", items: node.properties.map((one) => [keyOf(named(one)), cut(one.start, one.end)]), between: "," }]
      });
    }
    if (node.type === "VariableDeclaration") {
      const list = node.declarations;
      for (const { start, end } of runs(list, ({ id, init }) => marked[id.name] && (!init || isPlain(init)))) {
        const items = list.slice(start, end);
        lists.push({
          start: items[0].start,
          end: items[items.length - 1].end,
          make: () => [{ rank: "declared", items: items.map((one) => [marked[one.id.name].key, cut(one.start, one.end)]), between: "," }]
        });
      }
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

/** The names of functions that are declared, as the source has them. */
function declared(code) {
  const found = [];
  (function see(node) {
    if (node.type === "FunctionDeclaration") found.push(node.id.name);
    for (const value of Object.values(node)) for (const one of [value].flat()) if (one && typeof one.type === "string") see(one);
  })(parse(code, { ecmaVersion: 2020, sourceType: "module" }));
  return found;
}

const cache = {}, scripts = [], modules = {};
for (const { file, entry } of SCRIPTS) {
  scripts.push({ file, ...(await marked(file, entry, "iife", cache)) });
  delete cache.vars;
}
for (const [file, entry] of [["realtime.mjs", "index.js"], ...Object.values(BESIDE).map(({ file, entry }) => [file, entry])]) {
  modules[file] = await marked(file, entry, "es", cache);
}
const sources = sourcesOf(cache);
const keyOf = (key) => sources[key] || key;

const texts = [], vars = [];
for (const { file, ast, settings } of scripts) {
  const { list } = variables(ast, false, sources);
  for (const one of list) {
    one.text = texts.length;
    one.file = file;
    one.given = one.def.mangled_name;
    one.mark = one.def.mangled_name = String.fromCharCode(VARIABLE + vars.length);
    vars.push(one);
  }
  order(ast, before, sources, new Map(list.map(({ def, key }) => [def, key]))); // as it is built now: a bundler's names depend on what stands where, and this search does not ask it again
  const text = (await print(ast, settings)).code.replace(/"([\u6000-\u7fff])":/g, "$1:"); // it will be an identifier
  const marks = Object.fromEntries(list.map((one) => [one.mark, one.def.name])), names = declared(text).map((mark) => marks[mark]);
  texts.push(pieces(text, (n) => names[n], keyOf, Object.fromEntries(list.map((one) => [one.mark, one]))));
}

// Functions of the modules keep their names, to be known.
const known = new Set();
for (const [file, { ast, settings }] of Object.entries(modules)) {
  order(ast, before, sources);
  asParameters(ast, before.parameters);
  visit(ast, (node) => {
    if (node.TYPE !== "SymbolDefun") return;
    node.thedef.mangled_name = node.name;
    known.add(node.name);
  });
  modules[file] = (await print(ast, settings)).code;
}
// What is bundled, twice, each time with another module beside the usual; so the script counts twice, too.
const counts = SCRIPTS.map(({ file }) => (file === "realtime.js" ? 2 : 1));
await writeTemporary(modules, async (into) => {
  for (const wanted of Object.values(BESIDE).map(({ wanted }) => USUAL + wanted)) {
    const named = await tree(wanted, into, "utf8", { minify: false, minifySyntax: true, minifyWhitespace: true });
    const names = declared(named).map((name) => (known.has(name) ? name : name.replace(/\d+$/, ""))); // two modules may have one of this name
    texts.push(pieces(await tree(wanted, into, "utf8"), (n) => names[n], keyOf));
    counts.push(1);
  }
});

// What it goes on from: where the last search has ended.
const names = {};
const members = [...new Set(marksIn(texts))].filter((mark) => mark.charCodeAt() >= MARK);
const owners = new Map();
const free = (one, short, but) => !(owners.get(short) || []).some((other) => other !== but && other !== one && clash(one, other));
function rename(one, short) {
  const old = names[one.mark];
  if (old) owners.set(old, owners.get(old).filter((other) => other !== one));
  names[one.mark] = short;
  owners.set(short, [...(owners.get(short) || []), one]);
}
for (const one of vars) {
  const short = before.variables[one.file]?.[one.key];
  if (short && free(one, short)) rename(one, short);
}
// Else by terser's choice.
for (const one of vars) {
  if (names[one.mark]) continue;
  rename(one, [one.given, ...ONE, ...TWO].find((candidate) => candidate && free(one, candidate)));
}
// Two members may have one name where no object has both.
const mayMeet = meeting(JSON.parse(await readFile(join(ROOT, "members.json"), "utf8")));
const met = new Map(members.map((one) => [one, members.filter((other) => other !== one && mayMeet(sources[one], sources[other]))]));
// No object of ours has members of others' with names so short.
const short = [ONE.slice(0, 52), TWO], allowed = new Set(short.flat());
const taken = new Set();
for (const mark of members) {
  const name = before.members[sources[mark]];
  if (allowed.has(name) && !met.get(mark).some((other) => names[other] === name)) taken.add((names[mark] = name));
}
for (const mark of members) if (!names[mark]) taken.add((names[mark] = short.flat().find((name) => !taken.has(name))));

/** All marks. */
function marksIn(parts) {
  return parts.flatMap((part) => (part.items ? part.items.flatMap(([, inner]) => marksIn(inner)) : Array.isArray(part) ? marksIn(part) : MARKS.test(part) ? [part] : []));
}

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
for (const rank of RANKS) {
  const all = [...new Set(texts.flatMap((parts) => [...sorted(rank, parts)]))];
  ranks[rank] = [...before[rank].filter((name) => all.includes(name)), ...all.filter((name) => !before[rank].includes(name))];
}

// Which variables are declared together with which others.
const together = new Map();
(function see(parts) {
  for (const { rank, items = [] } of parts) {
    if (rank === "declared") for (const [name] of items) together.set(name, [...(together.get(name) || []), ...items.map(([other]) => other).filter((other) => other !== name)]);
    for (const [, inner] of items) see(inner);
  }
})(texts.flat());

/** Pieces as they are printed: marks as arrays of one, in which no list is looked for. */
function printed(parts) {
  return parts.filter((part) => part !== "").map((part) => {
    if (part.items) return { ...part, items: part.items.map(([name, inner]) => [name, printed(inner)]) };
    return MARKS.test(part) ? [part] : part.replace(/[^\x00-\x7f]/g, (one) => "\\u" + one.charCodeAt(0).toString(16).padStart(4, "0"));
  });
}
const prints = texts.map(printed);

/** The pieces in order: strings, and marks as arrays of one. */
function flat(parts, sort, into = []) {
  for (const part of parts) {
    if (part.items) {
      const items = [...part.items].sort((one, other) => sort[part.rank](one[0], other[0]));
      items.forEach(([, inner], n) => {
        if (n && part.between) into.push(part.between);
        flat(inner, sort, into);
      });
    } else into.push(part);
  }
  return into;
}
/** All texts in the order of now, of which only these are others than in `before`. */
const lay = (which, before = []) => {
  const sort = Object.fromEntries(RANKS.map((rank) => [rank, sorter(ranks[rank])])), laid = [...before];
  for (const one of which) laid[one] = flat(prints[one], sort);
  return laid;
};
let orders = lay(texts.map((_, which) => which));
const measure = (which) => gzipped(orders[which].map((part) => (typeof part === "string" ? part : names[part[0]])).join(""));
const total = (sizes) => sizes.reduce((sum, size, which) => sum + size * counts[which], 0);

const random = dice(SEED), pick = (list) => list[Math.floor(random(list.length))];
let found = texts.map((_, which) => measure(which)), best = total(found), kept = null;
console.log("before:", best, found);
keep();

/** Which texts have one of these marks, or names that are sorted by `rank`. */
const have = new Map(), all = texts.map((_, which) => which);
texts.forEach((parts, which) => {
  const found = [...marksIn(parts), ...RANKS.flatMap((rank) => [...sorted(rank, parts)].map((name) => rank + name))];
  for (const one of found) have.set(one, (have.get(one) || new Set()).add(which));
});
const concerned = (...list) => all.filter((which) => list.some((one) => have.get(one)?.has(which)));

// What stands around each mark, and which marks stand so: names do best where others have the same in the same place.
const around = new Map(), alike = new Map();
orders.forEach((parts) =>
  parts.forEach((part, at) => {
    if (typeof part === "string") return;
    const [before, after] = [parts[at - 1], parts[at + 1]].map((one) => (typeof one === "string" ? one : ""));
    for (const key of [before.slice(-4) + "?" + after.slice(0, 4), before.slice(-2) + "?" + after.slice(0, 2), before.slice(-5) + "?", "?" + after.slice(0, 5)]) {
      around.set(part[0], [...(around.get(part[0]) || []), key]);
      alike.set(key, [...(alike.get(key) || []), part[0]]);
    }
  })
);
const nameLike = (mark) => names[pick(alike.get(pick(around.get(mark))))];

/** Makes a change; returns what undoes it, and which texts it concerns. Nothing if there is none. */
function change() {
  const kind = random(10);
  if (kind < 4) {
    const one = pick(vars), old = names[one.mark];
    // The name of another, the more used the likelier, or one that nobody may have.
    const way = random(12);
    const name = way < 6 ? nameLike(one.mark) : way < 10 ? names[pick(vars).mark] : pick(random(2) < 1 ? ONE : TWO);
    if (name === old) return null;
    const others = (owners.get(name) || []).filter((other) => clash(one, other));
    if (others.length > 3 || others.some((other) => !free(other, old, one))) return null;
    // Those in its way get its own.
    for (const other of others) rename(other, old);
    rename(one, name);
    return { texts: [one.text], undo: () => [one, ...others].forEach((other) => rename(other, other === one ? old : name)) };
  }
  if (kind < 7) {
    const one = pick(members), old = names[one];
    const way = random(12);
    const name = way < 6 ? nameLike(one) : way < 9 ? names[pick(members)] : pick(random(5) < 1 ? short.flat() : short[old.length - 1]);
    if (name === old || !allowed.has(name)) return null; // that of a variable may be a word
    // Those in its way get its own.
    const others = met.get(one).filter((other) => names[other] === name);
    if (others.some((other) => met.get(other).some((third) => third !== one && names[third] === old))) return null;
    names[one] = name;
    for (const other of others) names[other] = old;
    return {
      texts: concerned(one, ...others),
      undo: () => {
        names[one] = old;
        for (const other of others) names[other] = name;
      }
    };
  }
  const rank = RANKS[Math.floor(random(3))], old = ranks[rank], moved = pick(old), rest = old.filter((name) => name !== moved);
  const beside = rank === "declared" ? rest.indexOf(pick(together.get(moved))) + random(2) : random(rest.length + 1); // others have no effect
  rest.splice(Math.floor(beside), 0, moved);
  const laid = orders;
  ranks[rank] = rest;
  orders = lay(concerned(rank + moved), laid);
  return {
    texts: concerned(rank + moved),
    undo: () => {
      ranks[rank] = old;
      orders = laid;
    }
  };
}

for (let step = 1; step <= STEPS; step++) {
  const made = change();
  if (made) {
    // It may be a little worse for a while, at first. Where it is much worse in one text, the others won't make up for it.
    const next = [...found], most = -Math.log(random(1)) * WARM * (1 - step / STEPS);
    const worse = () => total(next) - total(found);
    for (const which of made.texts) if (worse() <= most + MUCH) next[which] = measure(which);
    if (worse() <= most) found = next;
    else made.undo();
    if (total(found) < best) {
      best = total(found);
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
    variables: Object.fromEntries(
      SCRIPTS.map(({ file }) => [file, Object.fromEntries(vars.filter((one) => one.file === file).map((one) => [one.key, names[one.mark]]).sort())])
    ),
    members: Object.fromEntries(members.map((mark) => [sources[mark], names[mark]]).sort()),
    parameters: before.parameters,
    ...ranks
  };
}

async function save() {
  await writeFile(join(ROOT, "names.json"), JSON.stringify(kept, null, 1) + "\n");
}
