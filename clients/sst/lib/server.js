/**
 * In place of the server of `sst start` that workers talk to. SST's HTTP routes are kept; what
 * becomes of an event is decided here, for the functions that lambdad builds.
 */

import { pathToFileURL } from "node:url";
import { dirname, join } from "node:path";

import { freshBy, NotFresh } from "./fresh.js";
import { clientOf } from "./lambdad.js";
import { failure, Live } from "./live.js";
import { isOurs } from "./which.js";

/**
 * As SST's Server, given that one, what resolves packages as it would, and `say(line)` for its
 * terminal.
 */
export function serverOf(SstServer, { require, say, connect = clientOf }) {
  const ric = require.resolve("@serverless-stack/aws-lambda-ric/package.json");
  const tell = (line) => say(line);

  return class Server extends SstServer {
    #live = new Live({
      fresh: freshBy(connect, tell),
      ric: pathToFileURL(join(dirname(ric), "lib", "index.js")).href,
      apiOf: (worker, one) => `127.0.0.1:${this.opts.port}/${worker}/${one}`,
      heard: ({ stream, ...more }) =>
        (stream === "stdout" ? this.onStdOut : this.onStdErr).trigger(more),
      // SST's route for errors at start looks up here whose they are.
      assigned: (worker, requestId) => (this.lastRequest[worker] = requestId),
    });

    /** On loopback only: what listens here runs code. */
    listen() {
      this.app.listen({ port: this.opts.port, host: "127.0.0.1" });
    }

    async invoke(event) {
      if (!isOurs(event.function, tell)) return await super.invoke(event);
      try {
        return await this.#live.invoke(event);
      } catch (fault) {
        if (!(fault instanceof NotFresh)) throw fault;
        return failure(fault.errorType, fault.message, fault.lines);
      }
    }

    async next(worker, one) {
      return await (this.#live.has(worker) ? this.#live.next(worker) : super.next(worker, one));
    }

    response(one, requestId, response) {
      if (!this.#live.respond(one, requestId, traced(response))) {
        super.response(one, requestId, response);
      }
    }

    async drain(one) {
      await (isOurs(one, tell) ? this.#live.drain(one.id) : super.drain(one));
    }
  };
}

/** An error at start has `trace` where SST's terminal looks for `stackTrace`. */
function traced(response) {
  if (response.type !== "failure") return response;
  const { trace, stackTrace, ...error } = response.error ?? {};
  return { ...response, error: { ...error, stackTrace: stackTrace ?? trace ?? [] } };
}
