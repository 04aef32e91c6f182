// Transports that this client has never heard of: a file each, and what would be its line in all.js. They are driven,
// chosen, tried and left by their shape, in the source and in what is shipped.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { rollup } from "@rollup/wasm-node";
import { DIST, SOURCE } from "../build.js";
import { Browser, FakeRequest } from "./browser.js";
import { BY_URL, Network, POLLS, STREAMS } from "./network.js";

/** A held poll: each line of the answer is a frame, in JSON. */
const NDJSON_POLLING = `
  import { HELD } from "SOURCE/machine.js";
  import { hasHttp, post, request } from "SOURCE/http.js";
  import { toBatch } from "SOURCE/frames.js";

  export var ndjson_polling = {
    name: "ndjson_polling",
    kind: HELD,
    usable: hasHttp,
    open: function (carrier, url, first) {
      var proxy = {
        options: carrier.options,
        alive: function () {
          carrier.alive();
        },
        batch: function (text, where) {
          carrier.batch(/\\n$/.test(text) ? "[" + text.slice(0, -1).replace(/\\n/g, ",") + "]" : "", where);
        },
        end: function (how) {
          carrier.end(how);
        }
      };
      return request(proxy, url, toBatch([first].concat(carrier.messages())));
    },
    post: post
  };`;

/** A stream with its first frame in the URL, and a framing of its own: JSON behind a record separator (RFC 7464). */
const RECORDS = `
  import { address } from "SOURCE/carrier.js";
  import { STREAM } from "SOURCE/machine.js";
  import { hasHttp, post, request } from "SOURCE/http.js";

  export var records = {
    name: "records",
    kind: STREAM,
    byUrl: true,
    usable: hasHttp,
    open: function (carrier, url, first) {
      var seen = 0;
      return request(carrier, address(carrier, url, first), null, function (text) {
        var end;
        while ((end = text.indexOf("\\n", seen)) >= 0) {
          if (text.charAt(seen) === "\\x1e") carrier.batch("[" + text.slice(seen + 1, end) + "]");
          seen = end + 1;
        }
      });
    },
    post: post
  };`;

/** The vectors of both: bodies, and the frames in them; none where the body is refused. */
const VECTORS = {
  ndjson_polling: [
    ['"r0,0"\n"mone"\n"mt\\nwo"\n', ["r0,0", "mone", "mt\nwo"]],
    ['"r0,0"\n', ["r0,0"]],
    ['"r0,0"\n"mcu', null],
    ['"r0,0"\n1\n', null],
    ["<html>\n", null]
  ],
  records: [
    ['\x1e"mone"\n\x1e"mtwo"\n', ["mone", "mtwo"]],
    ['padding\n\x1e"mone"\n\x1e"mcu', ["mone"]],
    ["\x1e1\n", null]
  ]
};

const FILES = {
  ndjson_polling: NDJSON_POLLING,
  records: RECORDS,
  toys: `export * from "ndjson_polling"; export * from "records";`,
  // What all.js and legacy.js would be, with a line more each.
  list: `
    export * from "toys";
    import { ndjson_polling, records } from "toys";
    import { all } from "SOURCE/all.js";
    import { define } from "SOURCE/realtime.js";
    import { ignore } from "SOURCE/root.js";
    export var Realtime = define(all.concat(ndjson_polling, records), ignore, ignore);`
};

/** A script with what one of these files exports, in the global `toys`. */
async function load(input) {
  const virtual = {
    name: "virtual",
    resolveId: (id) => (id in FILES ? `\0${id}` : null),
    load: (id) => FILES[id.slice(1)]?.replaceAll("SOURCE", SOURCE)
  };
  const bundled = await rollup({ input, plugins: [virtual] });
  const { output } = await bundled.generate({ format: "iife", name: "toys", exports: "named" });
  await bundled.close();
  return output[0].code;
}

const toys = await load("toys");
const source = await load("list");

// As a server would write them.
POLLS.ndjson_polling = (frames) => frames.map((frame) => JSON.stringify(frame) + "\n").join("");
STREAMS.records = (frames) => frames.map((frame) => "\x1e" + JSON.stringify(frame) + "\n").join("");
BY_URL.push("records");

/** The part of the server's `o` that says what is wanted, most wanted first. */
function offered(...names) {
  return { transports: names.map((name) => ({ name, verdict: "offered" })) };
}

const pages = {
  /** The toys are in the list, and called by name. */
  source(names) {
    const page = new Browser(`${source}; var Realtime = toys.Realtime;`);
    return [page, names];
  },
  /** The toys are handed to what is shipped. */
  shipped(names) {
    const page = new Browser(readFileSync(join(DIST, "realtime.js"), "utf8") + ";" + toys);
    return [page, names.map((name) => page.window.toys[name] || name)];
  }
};

for (const [which, visit] of Object.entries(pages)) {
  for (const name of Object.keys(VECTORS)) {
    test(`${which}: ${name} carries a session, both ways, through cuts, to its close`, () => {
      const [page, transports] = visit([name, "long_polling"]);
      const network = new Network(page, { rtt: 60, jitter: 0.5 });
      network.server.options = offered(name, "long_polling");
      const session = page.connect("/chat", { transports, upgrade: name === "records" });
      const sent = [];
      page.advance(5000);
      assert.equal(session.transport, name);
      for (let i = 0; i < 30; i++) {
        sent.push(`${i} \x1e\n`);
        session.send(sent.at(-1));
        page.advance(100);
        if (i % 10 === 9) network.cut();
      }
      page.advance(20000);
      const heard = session.log.filter((event) => event.type === "message").map((event) => event.data);
      assert.deepEqual(heard, sent.map((text) => "echo " + text));
      assert.deepEqual(network.server.sessions[0].up, sent);
      session.close();
      page.advance(5000);
      assert.deepEqual(network.server.sessions[0].outcome, [1000, ""]);
    });

    test(`${which}: ${name} is moved to where it is wanted more, and left for what is`, () => {
      for (const [wanted, other] of [
        [name, "polling"],
        ["websocket", name]
      ]) {
        const [page, transports] = visit([wanted, other]);
        const network = new Network(page, { rtt: 20 });
        const until = page.now + 4000;
        network.fate = (transport) => (transport === wanted && page.now < until ? "refuse" : "");
        network.server.options = offered(wanted, other);
        const session = page.connect("/chat", { transports });
        page.advance(3500);
        assert.equal(session.transport, other);
        page.advance(30000);
        assert.equal(session.transport, wanted);
        assert.equal(session.negotiation[0].name, wanted);
      }
    });

    test(`${which}: ${name} reads its vectors, whole and by characters`, () => {
      const [page] = visit([name]);
      for (const [body, frames] of VECTORS[name]) {
        for (const pieces of [[body], [...body]]) {
          const found = [], ends = [];
          let request;
          page.window.XMLHttpRequest = class extends FakeRequest {
            constructor() {
              super();
              request = this;
            }
          };
          page.window.toys[name].open(
            {
              options: {},
              alive: () => {},
              messages: () => [],
              end: (how) => ends.push(how),
              batch(text) {
                try {
                  const batch = JSON.parse(text);
                  assert.ok(batch.every((frame) => typeof frame === "string"));
                  found.push(...batch);
                } catch {
                  ends.push("no batch");
                }
              }
            },
            `http://a.example/v1/${name}`,
            "rs1,1,0,0,1"
          );
          for (const piece of pieces) request.grow(piece);
          request.finish();
          if (frames) assert.deepEqual([...found], frames, body);
          else assert.equal(ends[0], "no batch", body);
        }
      }
    });
  }
}
