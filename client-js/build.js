// Makes dist/ from src/: `npm run build`. The same source gives the same bytes, so test/shipped.test.js can compare.
//
//   realtime.js    for <script>: one global, Realtime, with every transport; ES3 to the last token
//   realtime.mjs   for bundlers: they keep only what is imported
//   realtime.cjs   the same for require()
//   events.*       what is beside these for events, in the same three forms; its global is RealtimeEvents
//   webtransport.* one transport more, in the same three forms; its global is RealtimeWebTransport
//
// Private members begin with "_" and are shortened; no other name is touched.

import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build as esbuild } from "esbuild";
import { rollup } from "@rollup/wasm-node";
import { asParameters, marks, nameMembers, order, print, rename, sourcesOf, treeOf } from "./arrange.js";

export const ROOT = dirname(fileURLToPath(import.meta.url));
export const SOURCE = join(ROOT, "src");
export const DIST = join(ROOT, "dist");

export const NAMES = JSON.parse(readFileSync(join(ROOT, "names.json"), "utf8")); // what gzip likes best: names.js, parameters.js

/**
 * What may be shipped, in bytes after gzip -9. The only place with these numbers; a build that exceeds one fails. It is
 * what was reached, and is lowered with it; GOAL is what it is to come down to.
 */
export const BUDGET = {
  "dist/realtime.js, all transports": 12013,
  "Realtime, websocket and long_polling in a bundle": 10664,
  "dist/events.js": 2057,
  "events in a bundle, beside these": 1797,
  "dist/webtransport.js": 1646,
  "webtransport in a bundle, beside the first two": 1288
};

export const GOAL = {
  "dist/realtime.js, all transports": 9300,
  "Realtime, websocket and long_polling in a bundle": 8000,
  "dist/events.js": 1800,
  "events in a bundle, beside these": 1800,
  "dist/webtransport.js": 1700,
  "webtransport in a bundle, beside the first two": 1400
};

export const BUNDLES = [
  { file: "realtime.js", entry: "legacy.js", format: "iife" },
  { file: "realtime.mjs", entry: "index.js", format: "es" },
  { file: "realtime.cjs", entry: "index.js", format: "cjs" },
  { file: "events.js", entry: "legacy_events.js", format: "iife", name: "RealtimeEvents" },
  { file: "events.mjs", entry: "namespaces.js", format: "es" },
  { file: "events.cjs", entry: "namespaces.js", format: "cjs" },
  { file: "webtransport.js", entry: "legacy_webtransport.js", format: "iife", name: "RealtimeWebTransport" },
  { file: "webtransport.mjs", entry: "webtransport.js", format: "es" },
  { file: "webtransport.cjs", entry: "webtransport.js", format: "cjs" }
];

/** The scripts for pages without a bundler. */
export const SCRIPTS = BUNDLES.filter(({ format }) => format === "iife");

/** What applications import, and of what they may bundle beside it what that is. */
export const USUAL = "export { Realtime, websocket, long_polling } from './realtime.mjs'";
export const BESIDE = {
  events: { file: "events.mjs", entry: "namespaces.js", wanted: "; export { events } from './events.mjs'" },
  webtransport: { file: "webtransport.mjs", entry: "webtransport.js", wanted: "; export { webtransport } from './webtransport.mjs'" }
};

export async function manifest() {
  return JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
}

/** One entry point as one plain script, before it is made small. */
export async function bundle(input, format, extra = {}) {
  const bundled = await rollup({
    input,
    onwarn(warning) {
      throw new Error(`${warning.code}: ${warning.message}`);
    }
  });
  const { output } = await bundled.generate({
    format,
    name: format === "iife" ? "Realtime" : undefined,
    exports: format === "es" ? undefined : format === "iife" ? "default" : "named",
    generatedCode: "es5",
    freeze: false,
    esModule: false,
    externalLiveBindings: false,
    strict: false,
    // What `esModule` would write needs Object.defineProperty.
    intro: format === "cjs" ? "exports.__esModule = true;" : "",
    sourcemap: true,
    // Paths in the maps are relative to the package, wherever it is built.
    sourcemapPathTransform: (path, map) => "../src/" + relative(dirname(input), join(dirname(map), path)),
    ...extra
  });
  await bundled.close();
  return output[0];
}

/** Builds everything into the directory `into`; returns the sizes by the names of BUDGET. */
export async function build(into = DIST, source = SOURCE) {
  const { name, version, license } = await manifest();
  const banner = `/*! ${name} ${version} | ${license} */`;
  const cache = {}, short = { ...NAMES.members }; // private members have the same short names in all bundles
  await mkdir(into, { recursive: true });
  for (const one of BUNDLES) {
    const { ast, settings } = await shipped(one, { into, source, banner, cache, short });
    const { code, map } = await print(ast, settings);
    await writeFile(join(into, one.file), code + "\n");
    await writeFile(join(into, one.file + ".map"), map + "\n");
  }
  for (const module of ["realtime", "events", "webtransport"]) {
    const types = await readFile(join(ROOT, "types", module + ".d.ts"), "utf8");
    await writeFile(join(into, module + ".d.ts"), types); // what `import` sees
    await writeFile(join(into, module + ".d.cts"), types.replace('"./realtime.js"', '"./realtime.cjs"')); // what `require` sees
  }
  return sizes(into);
}

/** One of BUNDLES as the tree that is printed, with its settings, and the parameters of a module that nobody gives. */
export async function shipped({ file, entry, format, ...extra }, { into = DIST, source = SOURCE, banner = "", cache, short }) {
  const chunk = await bundle(join(source, entry), format, { file: join(into, file), ...extra });
  delete cache.vars; // names of variables are each bundle's own
  const settings = options(format, file, banner, chunk.map, cache);
  const ast = await treeOf({ [file]: chunk.code }, settings), isScript = format === "iife";
  const variables = isScript && rename(ast, NAMES.variables[file] || {}, false, sourcesOf(cache)); // a bundler gives those of the module names of its own
  order(ast, NAMES, sourcesOf(cache), variables);
  const parameters = isScript ? [] : asParameters(ast, NAMES.parameters); // in a script it wins nothing
  nameMembers(ast, sourcesOf(cache), short);
  return { ast, settings, parameters };
}

/** How terser makes a bundle small. */
export function options(format, file, banner, map, nameCache) {
  const script = format === "iife";
  return {
    ecma: 5,
    ie8: true,
    module: format === "es",
    toplevel: !script, // in a script the top level is the page's
    nameCache,
    compress: {
      passes: 6,
      unsafe_comps: true, // nothing that is compared by < and > may be no number: ! (a < b) becomes a >= b
      keep_fargs: false,
      inline: file === "webtransport.mjs" ? 0 : 3, // a bundler makes its own
      reduce_funcs: script, // in a module it costs more than it saves
      pure_getters: true, // no getter in the source does anything
      sequences: script, // a bundler drops statements, not halves of them
      conditionals: script || file === "events.mjs", // a bundler makes its own
      hoist_funs: script && file !== "events.js" // there it costs more than it saves
    },
    mangle: {
      properties: { regex: /^_/, reserved: ["__esModule", "_placeholder", "_error"], builtins: true, nth_identifier: marks }
    },
    format: { ascii_only: true, preamble: banner, comments: false, preserve_annotations: !script },
    sourceMap: map && { content: map, filename: file, url: file + ".map", includeSources: true }
  };
}

/** What a page downloads, in bytes after gzip -9. */
export async function sizes(dist = DIST) {
  const all = await readFile(join(dist, "realtime.js"));
  const script = await readFile(join(dist, "events.js"));
  const more = await readFile(join(dist, "webtransport.js"));
  const [two, three, four] = await Promise.all(["", BESIDE.events.wanted, BESIDE.webtransport.wanted].map(async (wanted) => gzipped(await tree(USUAL + wanted, dist))));
  const found = [gzipped(all), two, gzipped(script), three - two, gzipped(more), four - two];
  return Object.fromEntries(Object.keys(BUDGET).map((what, at) => [what, found[at]]));
}

/** What `use` makes of a directory with these files. */
export async function writeTemporary(files, use) {
  const into = await mkdtemp(join(tmpdir(), "realtime-"));
  try {
    for (const [file, code] of Object.entries(files)) await writeFile(join(into, file), code);
    return await use(into);
  } finally {
    await rm(into, { recursive: true });
  }
}

/** `code` bundled and minified as an application would do it. */
export async function tree(code, dist = DIST, charset = "ascii", extra = {}) {
  const { outputFiles } = await esbuild({
    stdin: { contents: code, resolveDir: dist, loader: "js" },
    bundle: true,
    minify: true,
    format: "esm",
    charset,
    write: false,
    legalComments: "none",
    ...extra
  });
  return outputFiles[0].text;
}

export function gzipped(text) {
  return gzipSync(text, { level: 9 }).length;
}

/** The sizes in words, and whether all are within the budget. */
export function verdict(found) {
  let fits = true;
  const lines = Object.keys(BUDGET).map((what) => {
    const within = found[what] <= BUDGET[what];
    fits = fits && within;
    return `${found[what]} of ${BUDGET[what]} bytes gzipped (goal ${GOAL[what]}): ${what}${within ? "" : " -- TOO BIG"}`;
  });
  return { fits, text: lines.join("\n") };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { fits, text } = verdict(await build());
  console.log(text);
  process.exitCode = fits ? 0 : 1;
}
