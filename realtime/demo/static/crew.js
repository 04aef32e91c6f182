/* Several workers: a session for each transport, which worker has it and which answers it, and the ticks of the room. */
import Realtime, { cursors } from "/realtime/client.mjs";

const { NAMES, ask, at, byId, clear, el, ending, say } = Demo;
const POLL = 500; // milliseconds between two looks at the workers
const MOST = 200; // lines of the story
// These open by a URL, in which no cursor stands: another way opens for them, and they follow.
const BY_URL = ["sse", "multipart", "htmlfile"];
const page = Array.from(crypto.getRandomValues(new Uint8Array(4)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const began = Date.now();

window.Realtime = Realtime; // base.js looks whether the client is there

/** The newest line is the first. */
function tell(kind, said, reason) {
  const story = byId("story");
  const time = el("time", { text: `${((Date.now() - began) / 1000).toFixed(1)} s` });
  story.querySelectorAll(".first").forEach((line) => line.remove());
  story.insertBefore(
    el("li", { class: kind }, [time, el("span", { class: "said", text: said }), el("span", { class: "reason", text: reason ? ` ${reason}` : "" })]),
    story.firstChild
  );
  if (story.childNodes.length > MOST) story.removeChild(story.lastChild);
}

/** One transport: a session after the other, and what is known of them. */
class Lane {
  constructor(name, url) {
    this.name = name;
    this.worker = null; // the number of the one that has the session
    this.answered = null; // and of the one that answered its last request
    this.ticks = this.lost = this.repeated = this.deaths = 0;
    this.series = this.last = null;
    this.wasLost = false;
    this.orphan = false; // its worker is dead, and its client has not heard of that
    this.cells = ["words", "words", "", "", ""].map((kind) => el("td", kind ? { class: kind } : {}));
    ["Has the session", "Answered last", "Ticks heard", "Lost", "Repeated"].forEach((label, i) => this.cells[i].setAttribute("data-label", label));
    this.mode = el("span", { class: "mode" });
    byId("seats").tBodies[0].appendChild(
      el("tr", { id: `seat-${name}` }, [el("th", { scope: "row" }, [el("span", { class: `t-${name}`, text: NAMES[name] }), this.mode]), ...this.cells])
    );
    this.open(url);
  }

  open(url) {
    const transports = BY_URL.includes(this.name) ? [this.name, "polling"] : [this.name];
    const session = (this.session = new Realtime(`${url}?lane=${page}-${this.name}`, { transports, reopen: true, cursors: cursors() }));
    session.onmessage = ({ data, room }) => (room ? this.tick(data) : this.hello(JSON.parse(data)));
    session.onstate = session.ontransport = () => this.draw();
    session.onclose = (event) => {
      if (this.worker !== null) {
        this.deaths += 1;
        this.wasLost = true;
      }
      this.worker = null;
      tell(`bad t-${this.name}`, `${NAMES[this.name]}: its session ended with ${ending(event)}.`, event.reopening ? "It opens another." : "It stays closed.");
      this.draw();
    };
  }

  hello({ worker }) {
    this.worker = worker;
    if (this.wasLost) {
      tell(`t-${this.name}`, `${NAMES[this.name]} has a session at worker ${worker}.`, this.last === null ? "" : `It goes on behind tick ${this.last}.`);
    }
    this.wasLost = false;
    this.draw();
  }

  /** A series, a dot, and a number that is the next one. */
  tick(text) {
    const [series, number] = text.split(".").map(Number);
    if (series !== this.series) {
      this.series = series;
      this.last = number - 1;
    }
    this.ticks += 1;
    if (number > this.last) {
      this.lost += number - this.last - 1;
      this.last = number;
    } else this.repeated += 1;
    this.draw();
  }

  draw() {
    const { session } = this;
    const state = session.state === "open" ? "" : session.state === "detached" ? "no connection" : session.state;
    const other = session.transport && session.transport !== this.name ? `by ${NAMES[session.transport]} now` : "";
    say(this.mode, state || other ? ` ${state || other}` : "");
    say(this.cells[0], this.worker === null ? "—" : `worker ${this.worker}${this.orphan ? ", which is dead" : ""}`);
    say(this.cells[1], this.answered === null ? "—" : `worker ${this.answered}`);
    [this.ticks, this.lost, this.repeated].forEach((count, i) => {
      say(this.cells[i + 2], String(count));
      if (i) this.cells[i + 2].className = count ? "bad" : "";
    });
  }
}

/** One worker: its card. */
class Hand {
  constructor(number, local) {
    this.number = number;
    this.told = null;
    this.pid = el("span", { class: "pid" });
    this.own = el("dt", {});
    this.owned = el("dd", {});
    this.other = el("dt", {});
    this.carries = el("dd", {});
    this.button = el("button", { type: "button", text: "Kill it" });
    this.button.onclick = () => this.kill();
    if (!local) this.button.hidden = true;
    this.card = el("li", { class: "hand", id: `worker-${number}` }, [
      el("header", {}, [el("h3", { text: `Worker ${number}` }), this.pid]),
      el("dl", {}, [this.own, this.owned, this.other, this.carries]),
      this.button
    ]);
    byId("crew").appendChild(this.card);
  }

  kill() {
    this.button.disabled = true;
    ask("POST", `/demo/crew/${this.number}/kill`, (problem, data) => {
      if (problem) tell("bad", `Worker ${this.number} was not killed: ${problem}.`);
      else tell("you", `You killed worker ${this.number}`, `(kill -9 ${data.pid}).`);
    });
  }

  show(told, lanes) {
    const { told: before } = this;
    this.told = told;
    if (before && told.starts > before.starts) tell("plain", `Worker ${this.number} is back,`, `as process ${told.pid}.`);
    this.card.className = told.up ? "hand" : "hand down";
    say(this.pid, told.up ? `process ${told.pid}` : "dead, soon back");
    this.button.disabled = !told.up;
    this.count(this.own, "Sessions here", told.sessions ?? 0);
    this.count(this.other, "Requests carried to others", told.carried ?? 0);
    this.list(this.owned, lanes.filter((lane) => told.up && lane.worker === this.number), "tag own");
    this.list(this.carries, lanes.filter((lane) => told.up && lane.answered === this.number && lane.worker !== null && lane.worker !== this.number), "tag");
  }

  count(place, what, count) {
    if (place.textContent === `${what}: ${count}`) return;
    clear(place);
    place.appendChild(document.createTextNode(`${what}: `));
    place.appendChild(el("b", { text: String(count) }));
  }

  list(place, lanes, kind) {
    const key = lanes.map((lane) => lane.name).join(" ");
    if (place.getAttribute("data-key") === key) return;
    place.setAttribute("data-key", key);
    clear(place);
    for (const { name } of lanes) place.appendChild(el("span", { class: `${kind} t-${name}`, text: NAMES[name] }));
  }
}

function total(id, count, bad) {
  const place = byId(id);
  say(place, String(count));
  place.className = `figure ${bad === undefined ? "" : bad ? "bad" : "good"}`;
}

Demo.whenReady((config) => {
  const lanes = config.offered.map((name, i) => new Lane(name, at(config.lanes[i]) + config.path));
  const hands = [];

  function sum(what) {
    return lanes.reduce((count, lane) => count + lane[what], 0);
  }

  function look() {
    ask("GET", `/demo/crew?page=${page}`, (problem, data) => {
      setTimeout(look, POLL);
      if (problem) return;
      for (const told of data.workers) if (!hands[told.number]) hands[told.number] = new Hand(told.number, config.local);
      for (const lane of lanes) {
        lane.answered = data.answered[lane.name] ?? lane.answered;
        lane.orphan = data.workers.some((told) => told.number === lane.worker && !told.up);
        lane.draw();
      }
      for (const told of data.workers) hands[told.number].show(told, lanes);
      const up = data.workers.filter((told) => told.up).length;
      say("workers-status", `${up} of ${data.workers.length} are up.${config.local ? "" : " They are killed from their own machine only."}`);
      total("all-ticks", sum("ticks"));
      total("all-lost", sum("lost"), sum("lost") > 0);
      total("all-repeated", sum("repeated"), sum("repeated") > 0);
      total("all-deaths", sum("deaths"));
    });
  }
  look();
  Demo.crew = { lanes, hands };
});
