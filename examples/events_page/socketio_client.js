/** What the page does by Socket.IO's own client, unchanged. The same by ours: realtime_client.js. */
import { io } from "/socket.io.js";

/** Asks to be let in. `told.state(word, transport)` and `told.out(why)` are called, the latter when there is no way back. */
export function enter(auth, told) {
  const socket = io({ auth, forceNew: true });
  let before = false;
  const tell = () => {
    const word = socket.connected ? "connected" : before ? "reconnecting" : "connecting";
    told.state(word, socket.io.engine?.transport?.name ?? "");
  };
  socket.io.on("open", () => socket.io.engine.on("upgrade", tell));
  socket.on("connect", () => {
    before = true;
    tell();
  });
  socket.on("connect_error", (error) => (socket.active ? tell() : told.out(error.message)));
  socket.on("disconnect", (reason) => {
    if (socket.active) tell();
    else if (reason === "io server disconnect") told.out("you have come in from somewhere else");
  });
  return {
    on: socket.on.bind(socket),
    emit: socket.emit.bind(socket),
    async call(event, ...args) {
      const answer = await socket.emitWithAck(event, ...args);
      if (answer?._error) throw new Error(answer.message);
      return answer;
    },
    leave: () => socket.disconnect(),
  };
}
