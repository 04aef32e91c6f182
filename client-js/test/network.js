/**
 * A network and a server for the browser of browser.js, in its time: distance, jitter, connections, and what middle boxes
 * do to a transport. The server speaks the native protocol as far as a client can see it, and echoes.
 *
 *   const page = new Browser(code);
 *   const network = new Network(page, { rtt: 150, jitter: 0.5 });
 *   network.fate = (transport) => (transport === "websocket" && page.now < until ? "refuse" : "");
 *   network.cut(() => true);
 */
import { opened } from "./browser.js";

const HOLD = 20000; // how long a poll is held, as `o` says
const CONNECTIONS = 6; // to one host, of HTTP
/** How a growing body frames them. */
export const STREAMS = { sse: null, xhr_streaming: lines, multipart: parts, htmlfile: null };
/** Their attaches show a ticket. */
export const BY_URL = ["sse", "multipart", "htmlfile", "jsonp"];
/** How the answer to a poll frames them, where that is no batch. */
export const POLLS = {};

/** So many tickets, from that of one gen on. */
function tickets(gen, count) {
  return "k" + [gen, ...Array.from({ length: count }, (_, i) => "t" + (gen + i))];
}

function lines(frames) {
  return JSON.stringify(frames) + "\n";
}
function parts(frames) {
  return `Content-Type: text/plain\r\n\r\n${JSON.stringify(frames)}\r\n--realtime\r\n`;
}

/** Chance that a test can repeat. */
function dice(seed) {
  return () => {
    seed = (Math.imul(seed ^ (seed >>> 15), 0x2c1b3c6d) + 0x6d2b79f5) | 0;
    return ((seed ^ (seed >>> 13)) >>> 0) / 4294967296;
  };
}

export class Network {
  /** `rtt` in milliseconds; `jitter`: how much longer each way may take, as a part of it. */
  constructor(page, { rtt = 0, jitter = 0, seed = 1 } = {}) {
    this.page = page;
    this.rtt = rtt;
    this.jitter = jitter;
    this.random = dice(seed);
    page.run("Math").random = this.random;
    page.run("crypto").getRandomValues = (array) => array.forEach((_, at) => (array[at] = this.random() * 256)); // and returns nothing, as some do
    this.fate = () => ""; // of a new request: "" (it gets through), "refuse", "hang", or "kill" (at the first message)
    this.live = new Set();
    this.idle = 0; // connections of HTTP without a request
    this.waiting = []; // requests that wait for a connection
    this.asking = 0;
    this.connecting = []; // WebSockets: one at a time to an address (RFC 6455 §4.1)
    this.tried = []; // [transport, when] of each request and socket that started
    this.server = new Server(this);
    page.network = this;
  }

  /** One way, in milliseconds. */
  get way() {
    return (this.rtt / 2) * (1 + this.jitter * this.random());
  }

  later(milliseconds, callback) {
    const id = Symbol("network");
    this.page.timers.set(id, { at: this.page.now + milliseconds, callback });
  }

  /** Cuts what is live: all, or what `which(transport)` names. */
  cut(which = () => true) {
    for (const link of [...this.live]) if (which(link.transport)) link.cut();
  }

  // -- what browser.js tells ---------------------------------------------------------------------------------------------

  /** A request starts: of XMLHttpRequest, an EventSource, a script, an iframe, a form. */
  request(fake, shape) {
    const run = () => {
      if (link.over) return this.#free(false);
      this.asking++;
      const fresh = !this.idle;
      if (!fresh) this.idle--;
      link.connected = true;
      link.up(() => this.#arrives(link), fresh ? this.rtt : 0);
    };
    const link = new Link(this, fake, SHAPES[shape]);
    this.tried.push([link.transport, this.page.now]);
    if (this.asking < CONNECTIONS) run();
    else this.waiting.push(run);
    return link;
  }

  socket(fake) {
    const link = new Link(this, fake, SOCKET);
    const connect = () => {
      if (link.over) return this.#connected();
      const fate = this.fate(link.transport);
      this.tried.push([link.transport, this.page.now]);
      if (fate === "hang") return;
      link.up(() => {
        if (fate === "refuse") return link.down(() => link.cut());
        link.kill = fate === "kill";
        const query = new URL(fake.url).searchParams.get("open");
        link.accepted = true;
        link.down(() => fake.accept());
        link.down(() => this.#connected());
        if (query) this.server.websocket(link, "o" + query);
      }, this.rtt);
    };
    link.done = () => this.connecting[0] === connect && this.#connected();
    this.connecting.push(connect);
    if (this.connecting.length === 1) connect();
    return link;
  }

  #connected() {
    this.connecting.shift();
    if (this.connecting.length) this.connecting[0]();
  }

  #free(kept) {
    if (kept) this.idle++;
    if (this.asking < CONNECTIONS && this.waiting.length) this.waiting.shift()();
  }

  /** A request's connection can be used again, or is gone. */
  released(link, kept) {
    if (!link.connected) return;
    link.connected = false;
    this.asking--;
    this.#free(kept);
  }

  #arrives(link) {
    const fate = this.fate(link.transport);
    if (fate === "hang") return;
    if (fate === "refuse") link.down(() => link.cut());
    else {
      link.kill = fate === "kill";
      this.server.request(link);
    }
  }
}

/** How the answers of each kind of request reach the page. */
const SOCKET = {
  say: (fake, frames) => fake.say(...frames),
  end: (fake) => fake.end(1000),
  cut: (fake) => fake.end(1006)
};
const SHAPES = {
  request: {
    answer(fake, status, frames, transport) {
      if (!POLLS[transport]) return fake.answer(status, frames);
      fake.grow(POLLS[transport](frames), status);
      fake.finish();
    },
    begin: (fake, transport) => fake.grow(transport === "multipart" ? " \r\n--realtime\r\n" : " \n"),
    say: (fake, frames, transport) => fake.grow(STREAMS[transport](frames)),
    end: (fake) => fake.finish(),
    cut: (fake) => fake.cut()
  },
  stream: {
    begin: () => {},
    say: (fake, frames) => fake.say(frames),
    end: (fake) => fake.fail(),
    cut: (fake) => fake.fail()
  },
  script: {
    answer: (fake, status, frames) => fake.answer(frames),
    cut: (fake) => fake.onerror?.()
  },
  form: {
    answer: (fake, status, frames) => fake.answer(status, frames),
    cut: () => {} // a frame tells its page nothing
  },
  frame: {
    begin: () => {},
    say: (fake, frames) => fake.say(frames),
    end: (fake) => fake.onload?.(),
    cut: (fake) => fake.onload?.()
  }
};

/** One connection between the page and the server, as long as one request, stream or WebSocket uses it. */
class Link {
  constructor(network, fake, shape) {
    this.network = network;
    this.fake = fake;
    this.shape = shape;
    this.transport = /\/v1\/(\w+)/.exec(fake.url || fake.src || fake.address)[1];
    this.over = false; // at the page
    this.gone = false; // at the server
    this.upAt = this.downAt = 0;
    network.live.add(this);
  }

  /** Something travels to the server, behind what already does. */
  up(callback, extra = 0) {
    const { network } = this, now = network.page.now;
    this.upAt = Math.max(this.upAt, now + network.way + extra);
    network.later(this.upAt - now, () => this.gone || callback());
  }

  /** Something travels to the page. */
  down(callback) {
    const { network } = this, now = network.page.now;
    this.downAt = Math.max(this.downAt, now + network.way);
    network.later(this.downAt - now, () => this.over || callback());
  }

  /** The page writes on a WebSocket. */
  sent(data) {
    this.up(() => {
      if (this.kill && !/^[rpoa]/.test(data)) this.down(() => this.cut());
      else this.network.server.frame(this, data);
    });
  }

  /** The server says frames, on a WebSocket or stream. */
  say(frames) {
    if (this.kill && frames.some((frame) => frame[0] === "m")) return this.down(() => this.cut());
    this.down(() => this.shape.say(this.fake, frames, this.transport));
  }

  begin() {
    this.down(() => this.shape.begin(this.fake, this.transport));
  }

  answer(status, frames) {
    this.down(() => {
      this.#leave(true);
      this.shape.answer(this.fake, status, frames, this.transport);
    });
    this.gone = true;
  }

  /** The server ends a WebSocket or stream. */
  end() {
    this.down(() => {
      this.#leave(true);
      this.shape.end(this.fake);
    });
    this.gone = true;
  }

  /** The connection is cut: both ends learn it at once. */
  cut() {
    if (this.over) return;
    this.#leave(false);
    this.network.server.lost(this);
    this.shape.cut(this.fake);
  }

  /** The page has let go of it. */
  stopped() {
    if (this.over) return;
    this.#leave(false);
    this.up(() => this.network.server.lost(this));
  }

  #leave(kept) {
    this.over = true;
    this.network.live.delete(this);
    this.network.released(this, kept);
    this.done?.();
  }
}

/** One session at the server. Its application keeps what it is sent, and echoes. */
class Session {
  constructor(server, nonce) {
    this.server = server;
    this.nonce = nonce;
    this.sid = "s" + ++server.count;
    this.gen = 0;
    this.used = false;
    this.link = null; // what carries
    this.held = null; // a poll that is held
    this.detached = true; // or carried by something else until now
    this.up = []; // what the application was given
    this.number = 0; // of the last frame up
    this.out = []; // frames down, from number 1
    this.acked = 0;
    this.outcome = null; // [code, reason], once it has ended
    this.transports = []; // that have carried, in order
    this.tenures = []; // of a durable session: [id, sent, received, taken] with which each began
  }

  /** Another worker goes on with it: carriers that are there stay, and nobody is at their other end. */
  takeOver() {
    this.tenures.push(["t" + (this.tenures.length + 1), this.out.length, this.number, this.number]);
    for (const link of [this.link, this.held]) if (link) link.deserted = true;
    if (this.link) this.link.carries = false;
    this.link = this.held = null;
  }

  get tenure() {
    return this.tenures.length ? this.tenures[this.tenures.length - 1][0] : "";
  }

  /** What a request is told that names a tenure and these numbers: nothing, or its refusal. */
  judge(named, gen, received, first) {
    if (!this.tenures.length) return null;
    const index = this.tenures.findIndex(([id]) => id === named);
    if (index < 0) return gen ? { code: 4414, status: 410 } : { code: 4503, status: 503 };
    const [, sent, arrived] = this.tenures[index + 1] || ["", this.out.length, this.number];
    return received > sent || first - 1 > arrived ? { code: 4414, status: 410 } : null;
  }

  /** `r`: with what the tenure began that followed the one which is named, too. */
  attached(named) {
    if (!this.tenures.length) return this.acks("r");
    const next = this.tenures[this.tenures.findIndex(([id]) => id === named) + 1];
    return [this.acks("r"), this.tenure, ...(next ? next.slice(1) : [])].join();
  }

  /** What the room has that a carrier was not told; it has a window of 256. */
  heard(link) {
    const { room } = this.server, frames = [];
    if (!this.tenures.length || link.room === undefined) return frames;
    while (link.room < room.length && link.rooms - link.flow < 256) {
      frames.push(`lroom,${++link.room},m${room[link.room - 1]}`);
      link.rooms++;
    }
    return frames;
  }

  /** The cursors of a carrier have come, or how much of it was taken. */
  hears(frame) {
    const [gen, ...rest] = frame.slice(1).split(",");
    const link = [this.link, this.held].find((one) => one && one.gen === +gen);
    if (!link) return;
    if (frame[0] === "f") link.flow = +rest[0];
    else if (link.room === undefined) link.room = +(rest[1] || 0);
  }

  send(text) {
    this.out.push("m" + text);
    this.flush();
  }

  close(code, reason = "") {
    this.out.push(`c${code},${reason}`);
    this.flush();
  }

  acks(frame = "a") {
    return `${frame}${this.number},${this.number}`;
  }

  /** Acks have come; a session whose close is acknowledged has ended. */
  acknowledge(received) {
    this.acked = Math.max(this.acked, +received);
    const last = this.out[this.out.length - 1] || "";
    if (last[0] === "c" && this.acked === this.out.length && !this.outcome) this.end(...last.slice(1).split(","));
  }

  end(code, reason) {
    this.outcome = [+code, reason];
    const last = [`x${code},session,${this.number},${reason}`];
    if (this.held) this.answer([this.attached(this.held.named), ...last]);
    else if (this.link?.carries) {
      this.link.say([this.acks(), ...last]);
      this.link.end();
    }
    this.link = null;
  }

  /** What is numbered from the cursor on, and what the room has. */
  next(link) {
    const frames = this.out.slice(link.cursor - 1);
    link.cursor += frames.length;
    return [...frames, ...this.heard(link)];
  }

  has(link) {
    return this.out.length >= link.cursor || (this.tenures.length && link.room < this.server.room.length);
  }

  flush() {
    const { link } = this;
    if (this.held && this.has(this.held)) this.answer([this.attached(this.held.named), ...this.next(this.held)]);
    else if (link && link.carries) {
      const first = Math.max(link.cursor, this.acked + 1);
      const renumber = first > link.cursor ? ["n" + first] : [];
      link.cursor = first;
      const frames = this.next(link);
      if (frames.length) link.say([this.acks(), ...renumber, ...frames]);
    }
  }

  answer(frames) {
    const held = this.held;
    this.held = null;
    if (this.link === held) this.link = null;
    held.answer(200, frames);
  }

  /** One frame behind a head. `cursor` is the number of the next numbered one. Returns whether it was numbered. */
  feed(frame, number) {
    const type = frame[0];
    if (type === "a") this.acknowledge(frame.slice(1).split(",")[0]);
    if (type === "l" || type === "f") this.hears(frame);
    if (type !== "m" && type !== "c") return false;
    if (number === this.number + 1 && !this.outcome) {
      this.number++;
      if (type === "c") this.end(...frame.slice(1).split(","));
      else {
        this.up.push(frame.slice(1));
        this.out.push("mecho " + frame.slice(1));
      }
    } else if (number > this.number + 1) throw new Error(`a gap: ${number} after ${this.number}`);
    return true;
  }

  feedAll(frames, first) {
    if (first > this.number + 1) return; // innocent
    for (const frame of frames) if (this.feed(frame, first)) first++;
  }
}

class Server {
  constructor(network) {
    this.network = network;
    this.count = 0;
    this.sessions = [];
    this.options = {}; // what `o` says otherwise
    this.begun = () => {}; // hears of each new session
    this.durable = false;
    this.room = []; // that all durable sessions are in: the messages in it
  }

  /** Takes up a session by the first frame of a carrier. Returns it, and what is to be said first; or a refusal. */
  take(link, head) {
    if (head[0] === "o") {
      const { nonce, gen, rooms, durable } = JSON.parse(head.slice(1));
      let session = this.sessions.find((one) => one.nonce === nonce);
      if (session && session.used) return { refusal: "x4409,carrier,,this nonce has opened a session already", status: 409 };
      if (!session) {
        this.sessions.push((session = new Session(this, nonce)));
        session.rooms = rooms;
        if (this.durable && durable) session.takeOver();
        this.begun(session);
      }
      const transports = ["websocket", "sse", "xhr_streaming", "multipart", "htmlfile", "long_polling", "polling", "jsonp"].map(
        (name) => ({ name, verdict: name === link.transport ? "taken" : "offered", reason: "so the server" })
      );
      const first = opened({
        sid: session.sid,
        ack: [session.number, session.number],
        transport: link.transport,
        transports,
        ...(session.tenure && { tenure: session.tenure }),
        ...this.options
      });
      return { session, first, late: !this.attach(session, link, gen, 1), number: 1, more: [tickets(gen + 1, 4)] };
    }
    const [sid, gen, received, , number, proof, named] = head.slice(1).split(",");
    const session = this.sessions.find((one) => one.sid === sid);
    if (!session) return { refusal: "x4404,session,,no such session", status: 404 };
    // In a URL it is a ticket of this gen, else the key.
    if (proof !== (BY_URL.includes(link.transport) ? "t" + gen : "key-of-s1")) {
      return { refusal: "x4403,carrier,,not the key of this session", status: 403 };
    }
    session.used = true;
    link.named = named;
    if (session.outcome) return { refusal: `x${session.outcome[0]},session,${session.number},`, status: 410 };
    const judged = +gen >= session.gen && session.judge(named, +gen, +received, +number);
    if (judged) {
      session.end(judged.code, "ahead");
      return { refusal: `x${judged.code},session,${session.number},`, status: judged.status };
    }
    if (session.tenures.length && +gen < session.gen) return { session, first: session.attached(named), late: true, number: Infinity, more: [] };
    session.acknowledge(received);
    if (session.outcome) return { refusal: `x${session.outcome[0]},session,${session.number},`, status: 200 };
    const late = !this.attach(session, link, +gen, +received + 1);
    return { session, first: session.attached(named), late, number: +number, more: link.transport === "websocket" ? [tickets(+gen + 1, 4)] : [] };
  }

  /** Whether this carrier is the newest. */
  attach(session, link, gen, cursor) {
    link.session = session;
    link.cursor = cursor;
    link.gen = gen;
    link.rooms = link.flow = 0;
    if (gen < session.gen) return false;
    const before = session.transports[session.transports.length - 1];
    if (before !== link.transport) session.transports.push(link.transport);
    session.detached = before !== link.transport || !session.carried || session.held !== null;
    session.carried = true;
    session.gen = gen;
    if (session.held) session.answer([session.attached(session.held.named), "esuperseded"]);
    else if (session.link?.carries) {
      session.link.say(["esuperseded"]);
      session.link.end();
    }
    session.link = link;
    return true;
  }

  // -- WebSocket ---------------------------------------------------------------------------------------------------------

  websocket(link, head) {
    const { session, first, refusal, late, number, more } = this.take(link, head);
    if (refusal) {
      link.say([refusal]);
      return link.end();
    }
    link.number = number;
    if (late) {
      link.say([first, "esuperseded"]);
      return link.end();
    }
    link.carries = true;
    link.say([first, ...more]);
    session.flush();
  }

  frame(link, data) {
    const { session } = link;
    if (link.deserted) return;
    if (data[0] === "p") link.say(["q" + data.slice(1)]);
    else if (data[0] === "o" || data[0] === "r") this.websocket(link, data);
    else if (data[0] === "n") link.number = +data.slice(1);
    else if (session) {
      if (data[0] === "a") session.used = true;
      if (session.feed(data, link.number)) link.number++;
      session.flush();
    }
  }

  // -- HTTP --------------------------------------------------------------------------------------------------------------

  request(link) {
    const { fake, transport } = link;
    const query = new URL(fake.url || fake.src || fake.address).searchParams;
    const [head, ...frames] = query.has("frame") ? [query.get("frame")] : fake.sent;
    if (transport === "send") this.send(link, head, frames);
    else if (transport in STREAMS) this.stream(link, head, frames);
    else this.poll(link, head, frames);
  }

  send(link, head, frames) {
    const [sid, received, , first, , named] = head.slice(1).split(",");
    const session = this.sessions.find((one) => one.sid === sid);
    if (!session) return link.answer(404, ["x4404,session,,no such session"]);
    session.used = true;
    const judged = !session.outcome && session.judge(named, 0, +received, +first);
    if (judged) return link.answer(judged.status, [`x${judged.code},${judged.code === 4503 ? "carrier" : "session"},,`]);
    session.acknowledge(received);
    if (!session.outcome) session.feedAll(frames, +first);
    const over = session.outcome && [`x${session.outcome[0]},session,${session.number},`];
    const asked = frames.filter((frame) => frame[0] === "k").map((frame) => tickets(+frame.slice(1), 16));
    link.answer(200, over || [[session.acks(), ...(session.tenure ? [session.tenure] : [])].join(), ...asked]);
    session.flush();
  }

  poll(link, head, frames) {
    const { session, first, refusal, status, late, number, more } = this.take(link, head);
    if (refusal) return link.answer(status, [refusal]);
    session.feedAll(frames, number);
    const start = head[0] === "o" ? first : session.attached(link.named);
    if (session.outcome) link.answer(200, [start, `x${session.outcome[0]},session,${session.number},`]);
    else if (late) link.answer(200, [start, "esuperseded"]);
    else if (head[0] === "o" || link.transport === "polling" || session.detached || session.has(link)) {
      session.link = null;
      session.detached = false;
      link.answer(200, [start, ...more, ...session.next(link)]);
    } else {
      session.held = link;
      this.network.later(HOLD, () => session.held === link && session.answer([session.attached(link.named)]));
    }
  }

  stream(link, head, frames) {
    if (head[0] === "p") {
      link.begin();
      return link.say(["q"]);
    }
    const { session, first, refusal, late, number } = this.take(link, head);
    link.begin();
    if (refusal || late) {
      link.say(refusal ? [refusal] : ["esuperseded"]);
      return link.end();
    }
    session.feedAll(frames, number);
    link.carries = true;
    link.say([first]);
    session.flush();
  }

  /** A connection is gone. */
  lost(link) {
    link.gone = true;
    const { session } = link;
    if (!session) return;
    if (session.held === link) session.held = null;
    if (session.link === link) {
      session.link = null;
      session.carried = false;
    }
  }
}
