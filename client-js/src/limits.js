/** The times that a server announces in its `o`, in milliseconds; see docs/protocol.md §8. `server`: null before. */

/** How long a poll is held where there are no pings. */
export var HOLD = 25000;

/** After how long a server that has nothing to say pings. */
export function interval(server) {
  return server && server.ping_interval ? server.ping_interval * 1000 : Infinity;
}

/** How long a carrier may be mute. */
export function silence(server) {
  return server && server.ping_timeout ? interval(server) + server.ping_timeout * 1000 : Infinity;
}

/** How long a session outlives the last contact. */
export function lifetime(server) {
  return server ? server.resume_window * 1000 + (silence(server) < Infinity ? silence(server) : 0) : 120000;
}
