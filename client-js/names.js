// Which short names gzip likes best, for variables and private members: `npm run names`, after the source has changed much.
//
// Which name is whose changes nothing but how well the rest compresses, by three per cent. terser hands out names of variables
// by number. A search, the same each time, swaps names for as long as that helps, and writes names.json, which build.js reads.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { minify } from "terser";
import { bundle, gzipped, options, ROOT, SOURCE, tree, writeTemporary } from "./build.js";

const STEPS = +process.argv[2] || 60000;
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const FIRST = [...LETTERS, ...LETTERS.toUpperCase(), "$", "_"];
const SECOND = [...LETTERS, ...LETTERS.toUpperCase()];
const WORDS = ["as", "do", "if", "in", "is", "of"];

const VARIABLE = 0x4000, MEMBER = 0x6000; // characters that stand for numbers while names are looked for
const MARKS = /([\u4000-\u7fff])/;

/** One bundle, with marks for names; `cache` learns which member has which. */
async function marked(entry, format, cache) {
  const chunk = await bundle(join(SOURCE, entry), format);
  const settings = options(format, "x.js", "", null, cache);
  settings.mangle.nth_identifier = { get: (n) => String.fromCharCode(VARIABLE + n) };
  settings.mangle.properties.nth_identifier = { get: (n) => String.fromCharCode(MEMBER + n) };
  settings.format.ascii_only = false;
  return (await minify({ "x.js": chunk.code }, settings)).code;
}

/** Chance that is the same each time (mulberry32). */
function dice(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
  };
}

const pairs = SECOND.flatMap((one) => SECOND.map((other) => one + other)).filter((name) => !WORDS.includes(name));
const POOLS = [
  [FIRST, pairs],
  [FIRST.slice(0, 52), pairs] // no object of ours has members of others' with names so short
];

const cache = {};
const script = await marked("legacy.js", "iife", cache);
delete cache.vars;
const module = await marked("index.js", "es", cache);
const sources = {}; // mark -> name in the source
for (const [name, mark] of Object.entries(cache.props.props)) sources[mark] = name.slice(1);
const two = await writeTemporary(module, (into) => tree(`export { Realtime, websocket, long_polling } from './realtime.mjs'`, into, "utf8"));

const names = {};
const found = (from, text) => [...new Set(text.match(new RegExp(MARKS, "g")))].filter((mark) => mark.charCodeAt() >> 13 === from >> 13);
// Variables of the script alone: a bundler gives those of the module names of its own.
const sets = [found(VARIABLE, script), found(MEMBER, script + two)];
// It goes on from where the last search has ended.
const before = JSON.parse(await readFile(join(ROOT, "names.json"), "utf8"));
sets.forEach((set, which) => {
  const given = new Set(), uses = {};
  for (const mark of (script + two).match(new RegExp(MARKS, "g"))) uses[mark] = (uses[mark] || 0) + 1;
  for (const mark of set.sort((one, other) => uses[other] - uses[one])) {
    const name = which ? before.members[sources[mark]] : before.variables[mark.charCodeAt() - VARIABLE];
    if (name && !given.has(name)) given.add((names[mark] = name));
  }
  const rest = POOLS[which].flat().filter((name) => !given.has(name));
  for (const mark of set) names[mark] ??= rest.shift();
});
const texts = [script, two].map((text) => text.split(MARKS));
const size = () => texts.reduce((sum, parts) => sum + gzipped(parts.map((part, i) => (i & 1 ? names[part] : part)).join("")), 0);

const random = dice(+process.argv[3] || 1);
let best = size();
console.log("before:", best, texts.map((parts) => gzipped(parts.map((part, i) => (i & 1 ? names[part] : part)).join(""))));
for (let step = 1; step <= STEPS; step++) {
  const which = random(3) ? 1 : 0, set = sets[which], one = set[random(set.length)], old = names[one];
  // Another's name, or one that nobody has.
  const all = POOLS[which][old.length - 1], name = random(4) ? names[set[random(set.length)]] : all[random(all.length)];
  const other = set.find((mark) => names[mark] === name);
  if (other === one) continue;
  names[one] = name;
  if (other) names[other] = old;
  const found = size();
  if (found <= best) best = found;
  else {
    names[one] = old;
    if (other) names[other] = name;
  }
  if (step % 5000 === 0 || step === STEPS) {
    console.log(`${step}: ${best}`);
    await save();
  }
}

async function save() {
  const variables = [];
  for (const mark of sets[0]) variables[mark.charCodeAt() - VARIABLE] = names[mark];
  const members = Object.fromEntries(sets[1].map((mark) => [sources[mark], names[mark]]).sort());
  await writeFile(join(ROOT, "names.json"), JSON.stringify({ variables: Array.from(variables, (name) => name ?? ""), members }) + "\n");
}
console.log("after:", best, texts.map((parts) => gzipped(parts.map((part, i) => (i & 1 ? names[part] : part)).join(""))));
