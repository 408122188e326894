/** SST's servers name no host, and would listen to the whole network: they run code. */

import net from "node:net";

/** From now on a server of this process that is given a port alone listens on loopback. */
export function keepToLoopback() {
  const { listen } = net.Server.prototype;
  net.Server.prototype.listen = function (...given) {
    return listen.apply(this, loopback(given));
  };
}

/** The arguments of net.Server.listen with a host, where they name a port and none. */
export function loopback(given) {
  const [first, second] = given;
  if (typeof first === "object" && first !== null) {
    const isPort = first.port !== undefined && first.host === undefined && !("fd" in first);
    return isPort && !first.path ? [{ ...first, host: "127.0.0.1" }, ...given.slice(1)] : given;
  }
  const isPort = typeof first === "number" || /^\d+$/.test(first ?? "");
  return isPort && typeof second !== "string" ? [first, "127.0.0.1", ...given.slice(1)] : given;
}
