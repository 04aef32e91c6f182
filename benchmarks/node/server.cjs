// One peer on Node: serves until standard input ends, and says its port. node server.cjs <socket.io|engine.io|sockjs>
"use strict";
const http = require("node:http");

const server = http.createServer((request, response) => response.writeHead(404).end());
const listeners = new Set();

// What a message is answered with, by the name that its session was opened under.
function serve(name, send, closed) {
  if (name === "listen") {
    listeners.add(send);
    closed(() => listeners.delete(send));
  }
  return (text) => {
    if (name === "echo") send(text);
    else if (name === "speak") for (const each of listeners) each(text);
  };
}

const kinds = {
  "socket.io"() {
    const { Server } = require("socket.io");
    const io = new Server(server, { serveClient: false });
    io.on("connection", (socket) => {
      const { name } = socket.handshake.query;
      if (name === "listen") socket.join("all");
      socket.on("m", (text) => {
        if (name === "echo") socket.emit("m", text);
        else if (name === "speak") io.to("all").emit("m", text); // its own way, which encodes once
      });
      let count = 0;
      socket.on("put", () => void count++);
      socket.on("counted", (answer) => {
        answer(count);
        count = 0;
      });
      socket.on("burst", (text) => {
        // As many as peers.py says.
        for (let i = 0; i < 16; i++) socket.emit("m", text);
      });
      socket.on("ack", (text, answer) => answer(text));
    });
  },
  "engine.io"() {
    const engine = require("engine.io").attach(server);
    engine.on("connection", (socket) => {
      const name = socket.request._query.name;
      socket.on("message", serve(name, (text) => socket.send(text), (act) => socket.on("close", act)));
    });
  },
  sockjs() {
    const sockjs = require("sockjs");
    for (const name of ["echo", "listen", "speak"]) {
      const endpoint = sockjs.createServer({ log() {} });
      endpoint.on("connection", (socket) => {
        socket.on("data", serve(name, (text) => socket.write(text), (act) => socket.on("close", act)));
      });
      endpoint.installHandlers(server, { prefix: `/${name}` });
    }
  },
};

kinds[process.argv[2]]();
server.listen(0, "127.0.0.1", 4096, () => console.log(server.address().port));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
