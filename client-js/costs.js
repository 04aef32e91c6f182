// What each part of the client costs, in bytes after gzip -9: `npm run costs`. The table in docs/javascript.md is made of it.
//
// Transports and other imports: by how much a bundle with `Realtime`, `websocket` and `long_polling` grows or shrinks with
// them. What every session has: by how much the script shrinks without what a file of the source has become. Together
// these are less than the whole, since what is like something else costs little beside it.

import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DIST, gzipped, tree } from "./build.js";

const PARTS = [
  ["which transport to start, to try, to stop, and when: races, probes, upgrades, back-off", ["supervision", "supervisor", "time"]],
  ["numbers, windows, replay, acks, closes", ["machine"]],
  ["the class and its options, what libraries expect of a WebSocket", ["realtime", "events"]],
  ["reading frames strictly, and writing them for old engines too", ["frames"]],
  ["requests, and what goes up by them", ["http", "say", "uplink", "carrier"]],
  ["a session: what its parts tell each other, pages that are put away, frozen, left", ["driver", "lifecycle", "root", "random"]],
  ["what failed, remembered, told to the server, and shown as `negotiation`", ["known", "storage"]],
  ["held requests, counted across tabs", ["tabs"]],
  ["auth data, and fresh ones", ["auth"]]
];

/** [what, bytes] of everything. */
export async function costs() {
  const size = async (names) => gzipped(await tree(`export { ${names} } from "./realtime.mjs"`));
  const usual = ["Realtime", "websocket", "long_polling"], base = await size(usual), rows = [];
  for (const name of ["websocket", "sse", "xhr_streaming", "multipart", "htmlfile", "long_polling", "polling", "jsonp", "requests", "durable", "cursors"]) {
    const others = usual.filter((one) => one !== name);
    rows.push(["`" + name + "`", others.length < usual.length ? base - (await size(others)) : (await size([...usual, name])) - base]);
  }
  const [, text] = readFileSync(join(DIST, "realtime.js"), "utf8").split("\n");
  const whole = gzipped(text), map = new SourceMap(JSON.parse(readFileSync(join(DIST, "realtime.js.map"), "utf8")));
  const files = [...text].map((_, at) => /([^/]*)\.js$/.exec(map.findEntry(1, at).originalSource)?.[1]);
  for (const [what, parts] of PARTS) {
    const without = [...text].filter((_, at) => !parts.includes(files[at])).join("");
    rows.push([what, whole - gzipped(without)]);
  }
  return rows;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log("| | bytes |\n|---|---|");
  for (const [what, bytes] of await costs()) console.log(`| ${what} | ${bytes} |`);
}
