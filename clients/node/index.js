/** Asks a project's lambdad daemon to rebuild functions, and waits until they are fresh. */

import http from "node:http";
import { resolve } from "node:path";

import { commandOf, locate, run, start, versionOf } from "./lib/command.js";
import { eventsOf } from "./lib/events.js";
import { ask, listen } from "./lib/exchange.js";
import {
  BuildFailed,
  DaemonError,
  LambdadError,
  Lost,
  RequestError,
  TimedOut,
} from "./lib/faults.js";
import { limit, unless } from "./lib/limits.js";

export { BuildFailed, DaemonError, LambdadError, RequestError, TimedOut };

/**
 * A client of one project's daemon. Nothing is run before the first call. That one finds the daemon
 * or starts it, for all that follow; if it is lost later, it is started once more.
 */
export function connect({ project = process.cwd(), command, env, typed = false } = {}) {
  const root = resolve(project);
  const lambdad = commandOf(command, env);
  const agent = new http.Agent({ keepAlive: true });
  let socket; // a promise, which all who wait for the daemon share

  function find() {
    const found = start(lambdad, root, env).catch((fault) => {
      if (socket === found) socket = undefined;
      throw fault;
    });
    socket = found;
    return found;
  }

  /** Runs an exchange with the daemon; if it is lost, once more with the one started then. */
  async function reach(signal, exchange) {
    const first = socket ?? find();
    try {
      return await exchange(await unless(signal, first));
    } catch (fault) {
      if (!(fault instanceof Lost)) throw fault;
    }
    // Of many who lost the same daemon, the first starts the next one.
    const second = socket === undefined || socket === first ? find() : socket;
    try {
      return await exchange(await unless(signal, second));
    } catch (fault) {
      if (!(fault instanceof Lost)) throw fault;
      if (socket === second) socket = undefined;
      throw new DaemonError("no-daemon", `the daemon was lost twice: ${fault.message}`);
    }
  }

  async function limited(limits, work) {
    const { signal, left, end } = limit(limits);
    try {
      return await work(signal, left);
    } finally {
      end();
    }
  }

  const post = (path, body, signal, left) =>
    reach(signal, (at) =>
      ask(agent, at, { method: "POST", path, body: { ...body, ...left() }, signal }),
    );

  async function freshAll(names = "all", { want = "live", ...limits } = {}) {
    return await limited(limits, async (signal, left) => {
      try {
        const body = { functions: names, want, ...(typed && { typed }) };
        return await post("/v1/fresh", body, signal, left);
      } catch (fault) {
        // No request fails only because the daemon did.
        if (fault.code !== "no-daemon" && !(fault.status >= 500)) throw fault;
        const warning = `${fault.message}; the lambdad command builds instead`;
        process.emitWarning(warning, { code: "LAMBDAD_NO_DAEMON" });
        return await answerOf("fresh", ["--want", want], names, signal);
      }
    });
  }

  async function build(names = "all", limits = {}) {
    return await limited(limits, (signal) => answerOf("build", [], names, signal));
  }

  /** What the command answers by itself, without a daemon. */
  async function answerOf(verb, options, names, signal) {
    const named = names === "all" ? [] : names;
    const args = [verb, "--json", ...options, "--project", root, "--", ...named];
    const { code, stdout, stderr } = await run(lambdad, args, { signal, timeout: 0, env });
    // A fault of the machine ends with 2, too, and is in the document.
    if (code > 1 && stdout === "") throw new DaemonError("command-failed", stderr.trim());
    return JSON.parse(stdout);
  }

  async function fresh(name, limits = {}) {
    const document = await freshAll([name], limits);
    if (document.building?.length) throw new TimedOut(document.building);
    if (!document.ok) throw new BuildFailed(name, document);
    // It may go by another name than it was asked for: an AWS CDK function's logical id.
    return document.functions[0];
  }

  async function status(limits) {
    return await limited(limits, async (signal) => {
      const at = await unless(signal, locate(lambdad, root, env));
      try {
        if (at) return await ask(agent, at, { method: "GET", path: "/v1/status", signal });
      } catch (fault) {
        if (!(fault instanceof Lost)) throw fault;
      }
      return { schema: 1, running: false };
    });
  }

  async function* events({ signal } = {}) {
    const limits = limit({ signal });
    const open = (at) => listen(at, { path: "/v1/events", signal: limits.signal });
    try {
      yield* eventsOf(await reach(limits.signal, open)); // leaving the loop closes the stream
    } catch (fault) {
      if (limits.signal.aborted) throw limits.signal.reason;
      if (fault.code !== "ECONNRESET") throw fault; // else the daemon has gone: the end
    } finally {
      limits.end();
    }
  }

  // By the command, because it returns only when all is gone.
  async function stop() {
    const { code, stderr } = await run(lambdad, ["daemon", "stop", "--project", root], { env });
    socket = undefined;
    if (code > 1) throw new DaemonError("command-failed", stderr.trim());
  }

  return Object.freeze({
    project: root,
    fresh,
    freshAll,
    build,
    save: (files, limits) =>
      limited(limits, (signal, left) => post("/v1/save", { files }, signal, left)),
    status,
    version: (limits) => limited(limits, (signal) => versionOf(lambdad, { signal, env })),
    why: (name, limits) =>
      limited(limits, (signal) => {
        const path = `/v1/why?function=${encodeURIComponent(name)}`;
        return reach(signal, (at) => ask(agent, at, { method: "GET", path, signal }));
      }),
    events,
    stop,
    close: () => agent.destroy(),
  });
}

const clients = new Map();

function shared({ project = process.cwd(), command, ...limits } = {}) {
  const key = JSON.stringify([resolve(project), commandOf(command)]);
  if (!clients.has(key)) clients.set(key, connect({ project, command }));
  return [clients.get(key), limits];
}

/** The function, once no build of it is older than this call. Clients are shared by project. */
export async function fresh(name, options) {
  const [client, limits] = shared(options);
  return await client.fresh(name, limits);
}

/** As `fresh` for many functions, or "all": the whole answer, whether it is ok or not. */
export async function freshAll(names, options) {
  const [client, limits] = shared(options);
  return await client.freshAll(names, limits);
}
