// Which short names gzip likes best, for variables and private members: `npm run names`, after the source has changed much.
//
// terser hands out names by number. Which name has which number changes nothing but how well the rest compresses, by two
// per cent. A search, the same each time, swaps names for as long as that helps, and writes names.json, which build.js reads.

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

/** One bundle, with marks for names. */
async function marked(entry, format) {
  const chunk = await bundle(join(SOURCE, entry), format);
  const settings = options(format, "x.js", "", null, {});
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

const taken = await readFile(join(ROOT, "node_modules", "terser", "tools", "domprops.js"), "utf8");
const pairs = SECOND.flatMap((one) => SECOND.map((other) => one + other)).filter((name) => !WORDS.includes(name));
const free = (name) => !taken.includes(`"${name}"`); // terser gives no member the name of one of the DOM
const POOLS = [
  [FIRST, pairs],
  [FIRST.filter(free), pairs.filter(free)]
];

const script = await marked("legacy.js", "iife");
const module = await marked("index.js", "es");
const two = await writeTemporary(module, (into) => tree(`export { Realtime, websocket, long_polling } from './realtime.mjs'`, into, "utf8"));

const names = {};
const found = (from, text) => [...new Set(text.match(new RegExp(MARKS, "g")))].filter((mark) => mark.charCodeAt() >> 13 === from >> 13);
// Variables of the script alone: a bundler gives those of the module names of its own.
const sets = [found(VARIABLE, script), found(MEMBER, script + two)];
// It goes on from where the last search has ended.
const before = JSON.parse(await readFile(join(ROOT, "names.json"), "utf8"));
sets.forEach((set, which) => {
  const list = [before.variables, before.members][which], given = new Set();
  for (const mark of set.sort()) {
    const name = list[mark.charCodeAt() - [VARIABLE, MEMBER][which]];
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
  const which = random(2), set = sets[which], one = set[random(set.length)], old = names[one];
  // Another's name of the same length, or one that nobody has.
  const all = POOLS[which][old.length - 1], name = random(4) ? names[set[random(set.length)]] : all[random(all.length)];
  if (name.length !== old.length) continue;
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
  if (step % 5000 === 0) console.log(`${step}: ${best}`);
}
const [variables, members] = [VARIABLE, MEMBER].map((from, which) => {
  const list = [];
  for (const mark of sets[which]) list[mark.charCodeAt() - from] = names[mark];
  return Array.from(list, (name) => name ?? "");
});
await writeFile(join(ROOT, "names.json"), JSON.stringify({ variables, members }) + "\n");
console.log("after:", best, texts.map((parts) => gzipped(parts.map((part, i) => (i & 1 ? names[part] : part)).join(""))));
