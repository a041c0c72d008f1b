// Refuses connections that leave the loopback: `node --import fence.mjs`.
import net from "node:net";

const local = new Set(["127.0.0.1", "::1", "localhost"]);
const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function guarded(...given) {
  const first = Array.isArray(given[0]) ? given[0][0] : given[0];
  const host = typeof first === "object" && first !== null ? first.host : given[1];
  if (typeof host === "string" && !local.has(host)) {
    throw new Error(`a client wants to reach ${host}`);
  }
  return connect.apply(this, given);
};
