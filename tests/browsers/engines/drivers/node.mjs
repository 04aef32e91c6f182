// Clients in Node, one after another or several at a time: each in a worker of its own, as in a process of its own.
//
// Reads commands as lines of JSON, like the other drivers (lines.py): a page is a worker, which loads the client as
// `require` does, and the scripts that steer it. Its address says nothing.
//
//   node node.mjs CLIENT SCRIPT…

import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import vm from "node:vm";

function say(what) {
  process.stdout.write(JSON.stringify(what) + "\n");
}

if (isMainThread) {
  const workers = new Map(); // page -> {worker, waiting: id -> call-back}

  const open = (page, done) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: process.argv.slice(2) });
    const waiting = new Map();
    workers.set(page, { worker, waiting });
    worker.on("message", ({ id, ready, kind, text, ...answer }) => {
      if (ready) done({});
      else if (kind) say({ page, kind, text });
      else {
        waiting.get(id)?.(answer);
        waiting.delete(id);
      }
    });
    worker.on("error", (error) => say({ page, kind: "error", text: String(error.stack || error) }));
    worker.on("exit", () => {
      for (const answer of waiting.values()) answer({ error: "the worker has ended" });
      waiting.clear();
    });
  };

  const DOES = {
    open: ({ page }, done) => open(page, done),
    evaluate({ id, page, script }, done) {
      const one = workers.get(page);
      one.waiting.set(id, done);
      one.worker.postMessage({ id, script });
    },
    close({ page }, done) {
      const one = workers.get(page);
      workers.delete(page);
      one.worker.terminate().then(() => done({}));
    }
  };

  say({ version: `Node ${process.version}` });
  createInterface({ input: process.stdin })
    .on("line", (line) => {
      const command = JSON.parse(line);
      try {
        DOES[command.do](command, (answer) => say({ id: command.id, ...answer }));
      } catch (error) {
        say({ id: command.id, error: String(error) });
      }
    })
    .on("close", () => process.exit());
} else {
  const [client, ...scripts] = workerData, require = createRequire(import.meta.url);
  globalThis.pageErrors = [];
  const fault = (error) => {
    const text = String(error?.stack || error);
    pageErrors.push(text);
    parentPort.postMessage({ kind: "error", text });
  };
  process.on("uncaughtException", fault);
  process.on("unhandledRejection", fault);
  globalThis.WebSocket ??= require("ws"); // Node has one since 22
  globalThis.Realtime = require(client).default;
  for (const script of scripts) vm.runInThisContext(readFileSync(script, "utf8"), { filename: script });
  parentPort.on("message", ({ id, script }) => {
    try {
      const value = vm.runInThisContext(script);
      parentPort.postMessage({ id, result: JSON.stringify(value) ?? null });
    } catch (error) {
      parentPort.postMessage({ id, error: String(error?.stack || error) });
    }
  });
  parentPort.postMessage({ ready: true });
}
