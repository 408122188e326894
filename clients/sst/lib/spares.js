/** Processes that have booted and wait for a task, so that an event after a save need not wait. */

import { bootKeyOf } from "./boot.js";

/** One for each kind that was asked for lately, up to so many. */
const MOST = 4;

export class Spares {
  #start;
  #kept = new Map(); // by kind, the one used last at the end

  /** `start(boot)` starts a process: `startProcess`, or a test's. */
  constructor(start) {
    this.#start = start;
  }

  /** A process that has booted, or is started now. It is the caller's. */
  take(boot) {
    const kind = bootKeyOf(boot);
    const spare = this.#kept.get(kind);
    this.#kept.delete(kind);
    return spare && !spare.isGone ? spare : this.#start(boot);
  }

  /** Sees that one of the kind is there for the next time. */
  keep(boot) {
    const kind = bootKeyOf(boot);
    const spare = this.#kept.get(kind);
    this.#kept.delete(kind);
    this.#kept.set(kind, spare && !spare.isGone ? spare : this.#start(boot));
    for (const [oldest, process] of this.#kept) {
      if (this.#kept.size <= MOST) break;
      this.#kept.delete(oldest);
      process.end();
    }
  }
}
