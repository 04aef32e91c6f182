// The page of events_chat.py. By which client it speaks is a matter of one file, of which each does the same: Socket.IO's
// where the address says so, else ours.
const CLIENT = new URLSearchParams(location.search).get("client") === "socketio" ? "socketio" : "realtime";
const PAUSE = 3000; // milliseconds: who has typed nothing for so long is not typing
const FORGOTTEN = 2 * PAUSE; // nor is who has not been heard of for so long: that they have stopped may have been lost

const $ = (id) => document.getElementById(id);
const talks = new Map(); // by a person's name, "" for everybody: what is said with whom
let chat, me, current, online;

function element(tag, text = "", kind = "") {
  const made = document.createElement(tag);
  made.textContent = text; // never innerHTML: it is what others have written
  made.className = kind;
  return made;
}

// -- who is here ----------------------------------------------------------------------------------------------------

/** What is said with a person, which is begun where it is not there yet. */
function talkWith(name) {
  if (talks.has(name)) return talks.get(name);
  const talk = { name, here: true, unread: 0, typing: new Map() };
  talk.button = element("button");
  talk.button.append(element("span", name || "Everybody", "name"), " ", element("small"), " ", element("small"));
  talk.button.onclick = () => {
    choose(talk);
    $("text").focus();
  };
  talk.item = element("li");
  talk.item.append(talk.button);
  talk.log = element("div", "", "log");
  talk.log.setAttribute("role", "log");
  talk.log.setAttribute("aria-label", name ? `Between you and ${name}` : "Between all");
  talk.log.tabIndex = 0; // so that keys scroll it
  talk.log.hidden = true;
  talks.set(name, talk);
  $("talks").append(talk.item);
  $("logs").append(talk.log);
  draw(talk);
  return talk;
}

function draw(talk) {
  const [, state, unread] = talk.button.children;
  state.textContent = talk.name === me ? "(you)" : talk.here ? "" : "has left";
  unread.textContent = talk.unread ? `${talk.unread} new` : "";
  unread.className = talk.unread ? "unread" : "";
  talk.item.className = talk.here ? "" : "gone";
  talk.button.disabled = talk.name === me;
}

function choose(talk) {
  if (current && current !== talk) stopTyping();
  current = talk;
  talk.unread = 0;
  draw(talk);
  for (const each of talks.values()) {
    each.log.hidden = each !== talk;
    if (each === talk) each.button.setAttribute("aria-current", "true");
    else each.button.removeAttribute("aria-current");
  }
  $("with").textContent = talk.name ? `${talk.name} and you alone` : "Everybody";
  $("to").textContent = talk.name ? `Message to ${talk.name} alone` : "Message to everybody";
  talk.log.scrollTop = talk.log.scrollHeight;
  showTyping();
}

function come(name) {
  const talk = talkWith(name);
  talk.here = true;
  draw(talk);
}

function go(name) {
  const talk = talkWith(name);
  talk.here = false;
  for (const each of talks.values()) stopped(each, name);
  if (talk !== current && !talk.log.firstChild) {
    talk.item.remove();
    talk.log.remove();
    talks.delete(name);
  } else draw(talk);
}

// -- what is said ---------------------------------------------------------------------------------------------------

function show(talk, who, text, kind = "") {
  const line = element("p", "", kind);
  if (who) line.append(element("b", `${who}:`), " ");
  line.append(text);
  const atEnd = talk.log.scrollHeight - talk.log.scrollTop - talk.log.clientHeight < 40;
  talk.log.append(line);
  if (atEnd || kind === "mine") talk.log.scrollTop = talk.log.scrollHeight;
  return line;
}

function hear(talk, who, text) {
  stopped(talk, who);
  show(talk, who, text);
  if (talk === current) return;
  talk.unread++;
  draw(talk);
  if (talk.name) $("news").textContent = `${who} has written to you alone`;
}

/** Sends what a line says, and tells in it what has become of that. While there is no connection it waits. */
async function send(talk, line, text) {
  const note = element("small", "…");
  line.append(" ", note);
  line.classList.remove("failed");
  try {
    const told = await (talk.name ? chat.call("private message", { to: talk.name, text }) : chat.call("new message", text));
    note.textContent = talk.name ? "delivered" : `to ${told}`;
  } catch (error) {
    line.classList.add("failed");
    note.textContent = `not confirmed: ${error.message}`;
    const again = element("button", "Again");
    again.onclick = () => {
      note.remove();
      again.remove();
      $("text").focus();
      send(talk, line, text);
    };
    line.append(" ", again);
  }
}

$("say").onsubmit = (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  stopTyping();
  $("text").value = "";
  if (text) send(current, show(current, me, text, "mine"), text);
};

// -- who is typing --------------------------------------------------------------------------------------------------

let quiet, typingSince;

$("text").oninput = () => {
  if (!$("text").value) return stopTyping();
  clearTimeout(quiet);
  quiet = setTimeout(stopTyping, PAUSE);
  if (typingSince && Date.now() - typingSince < PAUSE) return;
  typingSince = Date.now();
  tellTyping(true);
};

function stopTyping() {
  clearTimeout(quiet);
  if (typingSince) tellTyping(false);
  typingSince = 0;
}

function tellTyping(busy) {
  if (online) chat.emit("typing", busy, current.name || null);
}

function isTyping(talk, who, busy) {
  stopped(talk, who);
  if (busy) talk.typing.set(who, setTimeout(() => stopped(talk, who), FORGOTTEN));
  showTyping();
}

function stopped(talk, who) {
  clearTimeout(talk.typing.get(who));
  if (talk.typing.delete(who)) showTyping();
}

function showTyping() {
  const names = [...current.typing.keys()];
  $("typing").textContent = !names.length ? "" : names.length < 3 ? `${names.join(" and ")} ${names[1] ? "are" : "is"} typing…` : "Several are typing…";
}

// -- coming and going -----------------------------------------------------------------------------------------------

function state(word, transport) {
  online = word === "connected";
  $("status").className = word;
  $("status").textContent = { connected: `Connected over ${transport}`, connecting: "Connecting…", reconnecting: "Reconnecting…" }[word] ?? "Not connected";
}

function out(why) {
  chat?.leave();
  chat = null;
  state("closed");
  $("out").textContent = why;
  $("enter").hidden = false;
  $("chat").hidden = true;
  $("enter").elements.name.focus();
}

/** Who comes again by this key, after a cut that the server has not heard of yet, is no stranger who wants the same name. */
function key() {
  if (!sessionStorage.getItem("key")) sessionStorage.setItem("key", crypto.getRandomValues(new Uint32Array(4)).join("-"));
  return sessionStorage.getItem("key");
}

$("enter").onsubmit = async (event) => {
  event.preventDefault();
  const { enter } = await import(`./${CLIENT}_client.js`).catch(() => ({}));
  if (!enter) return out("This client is not there: cd examples/events_page && npm install");
  me = $("enter").elements.name.value.trim();
  sessionStorage.setItem("name", me);
  for (const talk of talks.values()) {
    talk.item.remove();
    talk.log.remove();
  }
  talks.clear();
  const earlier = chat; // where the button was pressed twice, say
  chat = null;
  earlier?.leave();
  let mine; // what a visit before this one still has to say is of no interest
  const told = { state: (...said) => mine === chat && state(...said), out: (why) => mine === chat && out(why) };
  mine = chat = enter({ name: me, key: key() }, told);
  const everybody = talkWith("");
  choose(everybody);
  chat.on("users", (names) => {
    for (const name of names) come(name);
    for (const { name, here } of [...talks.values()]) if (name && here && !names.includes(name)) go(name);
    if (!$("chat").hidden) return;
    $("enter").hidden = true;
    $("chat").hidden = false;
    $("out").textContent = "";
    $("text").focus();
  });
  chat.on("user joined", (name) => {
    come(name);
    show(everybody, "", `${name} has come in`, "news");
  });
  chat.on("user left", (name) => {
    show(everybody, "", `${name} has left`, "news");
    go(name);
  });
  chat.on("new message", (who, text) => hear(everybody, who, text));
  chat.on("private message", (who, text) => hear(talkWith(who), who, text));
  chat.on("typing", (who, busy, alone) => isTyping(alone ? talkWith(who) : everybody, who, busy));
};

$("leave").onclick = () => out("");
$("enter").elements.name.value = sessionStorage.getItem("name") ?? "";
$("enter").elements.name.focus();
document.querySelector(`nav a:nth-child(${CLIENT === "socketio" ? 2 : 1})`).setAttribute("aria-current", "page");
