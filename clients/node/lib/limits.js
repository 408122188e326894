/** How long a call may take: the caller's signal, its time-out, and the daemon's silence. */

import { TimedOut } from "./faults.js";

/** The daemon answers when the time is up; one that doesn't gets so much more. */
const GRACE_MS = 1000;
const LONGEST_MS = 2 ** 31 - 1; // what a timer can hold

/**
 * `signal` fires with the caller's, and when the time is up; `left` is what the daemon is told.
 * `end` must be called, or the timer keeps the process. Throws TypeError, or the signal's reason.
 */
export function limit({ signal, timeoutMs } = {}) {
  if (timeoutMs !== undefined && !(Number.isFinite(timeoutMs) && timeoutMs >= 0)) {
    throw new TypeError(`timeoutMs must be a finite number of at least 0, not ${timeoutMs}`);
  }
  signal?.throwIfAborted();
  const own = linked(signal);
  if (timeoutMs === undefined) return { signal: own.signal, left: () => ({}), end: own.end };
  const until = performance.now() + timeoutMs;
  const giveUp = () => own.abort(new TimedOut([]));
  const timer = setTimeout(giveUp, Math.min(timeoutMs + GRACE_MS, LONGEST_MS));
  return {
    signal: own.signal,
    left: () => ({ timeout_s: Math.max(0, until - performance.now()) / 1000 }),
    end() {
      clearTimeout(timer);
      own.end();
    },
  };
}

/** A signal that fires with another one, and can be fired alone; `end` cuts the link. */
export function linked(signal) {
  const controller = new AbortController();
  const drop = () => controller.abort(signal.reason);
  if (signal?.aborted) drop();
  signal?.addEventListener("abort", drop, { once: true });
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    end: () => signal?.removeEventListener("abort", drop),
  };
}

/** As the promise, unless the signal comes first; the promise goes on for others who wait. */
export function unless(signal, promise) {
  return new Promise((resolve, reject) => {
    const drop = () => reject(signal.reason);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", drop));
    if (signal.aborted) drop();
    else signal.addEventListener("abort", drop, { once: true });
  });
}
