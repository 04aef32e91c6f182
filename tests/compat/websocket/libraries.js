// What each library does with the class that it is given: opens, says something, hears it, and closes. `at` is the address
// of the server of server.py. Each returns what it heard.

import { Client } from "@stomp/stompjs";
import { Centrifuge } from "centrifuge";
import { createClient } from "graphql-ws";
import mqtt from "mqtt";
import { WebSocket as PartySocket } from "partysocket";
import { Socket } from "phoenix";
import ReconnectingWebSocket from "reconnecting-websocket";
import { fromEvent } from "rxjs";
import { webSocket } from "rxjs/webSocket";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

/** The first event of a type; an `error` before it is a failure. */
function first(target, type) {
  return new Promise((done, fail) => {
    target.addEventListener(type, done);
    target.addEventListener("error", (event) => fail(new Error("error " + (event.message || ""))));
  });
}

/** What wraps a WebSocket and looks like one. */
async function wrapped(socket) {
  await first(socket, "open");
  const answer = first(socket, "message");
  socket.send("hi");
  const { data } = await answer;
  const closed = first(socket, "close");
  socket.close();
  await closed;
  return data;
}

function ws(at) {
  return at.replace(/^http/, "ws");
}

export const libraries = {
  "reconnecting-websocket": (Class, at) => wrapped(new ReconnectingWebSocket(ws(at) + "/echo", [], { WebSocket: Class })),

  partysocket: (Class, at) => wrapped(new PartySocket(ws(at) + "/echo", undefined, { WebSocket: Class })),

  async "graphql-ws"(Class, at) {
    const client = createClient({ url: ws(at) + "/graphql", webSocketImpl: Class, retryAttempts: 0 });
    const heard = [];
    await new Promise((done, fail) => {
      client.subscribe({ query: "subscription { n }" }, { next: ({ data }) => heard.push(data.n), error: fail, complete: done });
    });
    await client.dispose();
    return heard.join();
  },

  async "@stomp/stompjs"(Class, at) {
    const client = new Client({ webSocketFactory: () => new Class(at + "/stomp", ["v12.stomp"]), reconnectDelay: 0 });
    const heard = await new Promise((done, fail) => {
      client.onConnect = () => {
        client.subscribe("/queue", (message) => done(message.body));
        client.publish({ destination: "/queue", body: "hi" });
      };
      client.onWebSocketError = client.onStompError = () => fail(new Error("it failed"));
      client.activate();
    });
    await client.deactivate();
    return heard;
  },

  async "y-websocket"(Class, at) {
    const documents = [new Y.Doc(), new Y.Doc()];
    const providers = documents.map((document) => {
      return new WebsocketProvider(ws(at), "peers", document, { WebSocketPolyfill: Class, disableBc: true });
    });
    const text = (document) => document.getText("t").toString();
    const synced = new Promise((done) => documents[1].on("update", () => text(documents[1]) === "hi" && done()));
    documents[0].getText("t").insert(0, "hi");
    await synced;
    for (const provider of providers) provider.destroy();
    return text(documents[1]);
  },

  async "rxjs/webSocket"(Class, at) {
    const subject = webSocket({ url: ws(at) + "/echo", protocol: "json", WebSocketCtor: Class });
    let end;
    const completed = new Promise((done) => (end = done));
    const heard = await new Promise((done, fail) => {
      subject.subscribe({ next: done, error: fail, complete: end });
      subject.next({ say: "hi" });
    });
    subject.complete();
    await completed;
    return heard.say;
  },

  async "rxjs/fromEvent"(Class, at) {
    const socket = new Class(at + "/echo");
    const heard = new Promise((done) => fromEvent(socket, "message").subscribe(done));
    socket.send("hi"); // which waits
    const { data } = await heard;
    socket.close();
    return data;
  },

  async phoenix(Class, at) {
    const socket = new Socket(ws(at) + "/socket", { transport: Class, authToken: "abc" });
    socket.connect();
    const channel = socket.channel("room:1", {});
    const shouted = new Promise((done) => channel.on("shout", done));
    await new Promise((done, fail) => channel.join().receive("ok", done).receive("error", fail));
    channel.push("shout", { body: "hi" });
    const { body } = await shouted;
    await new Promise((done) => socket.disconnect(done));
    return body;
  },

  async centrifuge(Class, at) {
    const client = new Centrifuge([{ transport: "websocket", endpoint: ws(at) + "/centrifugo" }], { websocket: Class });
    await new Promise((done, fail) => {
      client.on("connected", done);
      client.on("error", ({ error }) => fail(new Error(error.message)));
      client.connect();
    });
    const { data } = await client.rpc("say", { body: "hi" });
    client.disconnect();
    return data.body;
  },

  async mqtt(Class, at) {
    const client = mqtt.connect(ws(at) + "/mqtt", {
      createWebsocket: (url, protocols) => new Class(url, protocols),
      reconnectPeriod: 0
    });
    await new Promise((done, fail) => {
      client.on("connect", done);
      client.on("error", fail);
    });
    const heard = new Promise((done) => client.on("message", (topic, message) => done(message.toString())));
    await client.subscribeAsync("t/1", { qos: 1 });
    await client.publishAsync("t/1", "hi", { qos: 1 });
    const text = await heard;
    await client.endAsync();
    return text;
  }
};

/** Runs one of them; what it heard, or how it failed. What nobody has caught is a failure, too. */
export async function run(name, Class, at) {
  const problems = [];
  const note = (event) => problems.push("uncaught: " + (event.reason || event.message || event));
  const target = typeof window === "undefined" ? null : window;
  target?.addEventListener("error", note);
  target?.addEventListener("unhandledrejection", note);
  let heard = null;
  try {
    heard = await libraries[name](Class, at);
  } catch (error) {
    problems.push(String(error && error.message ? error.message : JSON.stringify(error)));
  }
  return { name, heard, problems };
}
