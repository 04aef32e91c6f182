/** What the page does by our client. The same by Socket.IO's: socketio_client.js. */
import Realtime from "/realtime/client.mjs";
import { events } from "/realtime/events.mjs";

/** Asks to be let in. `told.state(word, transport)` and `told.out(why)` are called, the latter when there is no way back. */
export function enter(auth, told) {
  const session = new Realtime("/realtime/chat", { reopen: true });
  const chat = events(session, { auth, timeout: Infinity });
  let before = false;
  const tell = () => {
    // A session that is detached looks for a way back, and loses nothing meanwhile; one that has ended is followed by another.
    const works = chat.connected && /open|draining/.test(session.state);
    told.state(works ? "connected" : before ? "reconnecting" : "connecting", session.transport);
  };
  session.onstate = session.ontransport = tell;
  chat.on("connect", () => {
    before = true;
    tell();
  });
  session.onclose = ({ code, reason, reopening }) => {
    if (reopening) tell();
    else told.out(`${code} ${reason}`);
  };
  chat.on("connect_error", (error) => told.out(error.message));
  chat.on("disconnect", (reason) => {
    if (reason === "io server disconnect") told.out("you have come in from somewhere else");
  });
  return {
    on: chat.on.bind(chat),
    emit: chat.emit.bind(chat),
    call: chat.call.bind(chat),
    leave: () => session.close(),
  };
}
