/** What to run for an event: the function as its files are when the event comes, or why not. */

import { BuildFailed, RequestError, TimedOut } from "lambdad-client";

import { linesOf } from "./lambdad.js";
import { include } from "./list.js";

/** A function that can't be run, as what its caller is answered and the terminal shows. */
export class NotFresh extends Error {
  constructor(errorType, message, lines = []) {
    super(message);
    this.errorType = errorType;
    this.lines = lines;
  }
}

/**
 * Gives `fresh(function, deadline)`, which asks lambdad for each event. `say(line)` shows what was
 * built, and each warning once. Throws NotFresh.
 */
export function freshBy(clientOf, say) {
  const clients = new Map();
  const digests = new Map();
  const warned = new Set();

  function client(root) {
    if (!clients.has(root)) clients.set(root, clientOf(root));
    return clients.get(root);
  }

  async function ask(one, timeoutMs) {
    const found = client(one.root);
    try {
      return await found.fresh(one.id, { timeoutMs });
    } catch (fault) {
      const isUnlisted = fault instanceof RequestError && fault.code === "unknown-function";
      if (!isUnlisted || !include(one.root, one)) throw fault;
      return await found.fresh(one.id, { timeoutMs });
    }
  }

  function show(one, found) {
    const { digest } = found.live;
    if (digests.get(one.id) !== digest) {
      const reasons = found.reasons.length ? `: ${found.reasons.join(", ")}` : "";
      const what = `${one.srcPath} ${one.handler}`;
      say(`Functions: lambdad built ${what} (${Math.round(found.duration_ms)}ms)${reasons}`);
    }
    digests.set(one.id, digest);
    for (const item of found.diagnostics) {
      const text = linesOf(item).join("\n");
      if (!warned.has(`${one.id}\n${text}`)) say(`${one.handler}: ${text}`);
      warned.add(`${one.id}\n${text}`);
    }
  }

  return async function fresh(one, deadline) {
    try {
      const found = await ask(one, Math.max(0, deadline - Date.now()));
      if (!found.live) throw new NotFresh("build_failure", `${one.handler} is ${found.status}`);
      show(one, found);
      return found;
    } catch (fault) {
      throw fault instanceof NotFresh ? fault : notFresh(one, fault);
    }
  };
}

function notFresh(one, fault) {
  if (fault instanceof BuildFailed) {
    const [first = "it failed", ...more] = fault.diagnostics
      .filter(({ severity }) => severity === "error")
      .flatMap(linesOf);
    return new NotFresh("build_failure", `${one.handler} is not built: ${first}`, more);
  }
  if (fault instanceof TimedOut) {
    const message = `the event's time was up while ${one.handler} was built; the next one gets it`;
    return new NotFresh("build_timeout", message);
  }
  return new NotFresh(fault.code ?? fault.name, `lambdad can't build ${one.handler}: ${fault.message}`);
}
