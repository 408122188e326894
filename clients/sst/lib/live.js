/**
 * Runs the events of functions in worker processes: each on code that is no older than the event,
 * in the order in which they came, and each answered once.
 */

import { randomUUID } from "node:crypto";

import { bootOf, environOf, keyOf, taskOf } from "./boot.js";
import { Spares } from "./spares.js";
import { startProcess } from "./worker.js";

/** Of workers without work so many are kept for a function, and so long. */
const MOST_IDLE = 8;
const IDLE_MS = 10 * 60_000;

export class Live {
  #functions = new Map(); // by id: {turn, digest, workers: Map by worker's id}
  #fresh;
  #ric;
  #apiOf;
  #heard;
  #assigned;
  #spares;

  /**
   * `fresh(function, deadline)` gives what to run, or throws; `ric` is the module of SST's runtime
   * client; `apiOf(worker, function)` the address of the runtime API, for ids; `heard({stream, data,
   * funcId, requestId})` hears what functions print; `assigned(worker, requestId)` is called before
   * a worker has its event.
   */
  constructor({ fresh, ric, apiOf, heard, assigned, start = startProcess }) {
    this.#fresh = fresh;
    this.#ric = ric;
    this.#apiOf = apiOf;
    this.#heard = heard;
    this.#assigned = assigned;
    this.#spares = new Spares((boot) => start(boot, { heard() {}, gone() {} }));
  }

  /** The event's answer, as SST hands it on: {type: "success", data} or {type: "failure", error}. */
  async invoke({ function: one, env, payload }) {
    const state = this.#state(one.id);
    const answer = this.#fresh(one, payload.deadline);
    answer.catch(() => {}); // it is looked at when its turn has come
    const before = state.turn;
    let done;
    state.turn = new Promise((resolve) => (done = resolve));
    try {
      await before;
      const found = await answer;
      return await new Promise((settle) => {
        this.#hand(state, one, found, env, { payload, settle });
        done();
      });
    } finally {
      done();
    }
  }

  /** Whether the worker is one of these. */
  has(id) {
    return this.#find(id) !== undefined;
  }

  /** The worker's next event, once there is one. Never, for one that is to end. */
  next(id) {
    const { state, worker } = this.#find(id);
    return new Promise((resolve) => {
      const { job } = worker;
      if (job && !job.isTaken) {
        job.isTaken = true;
        resolve(job.payload);
      } else if (worker.isRetired) {
        this.#end(state, worker);
      } else {
        worker.resolve = resolve;
        this.#rest(state, worker);
      }
    });
  }

  /** Answers an event. One that is unknown, or has been answered, is none of these. */
  respond(functionId, requestId, response) {
    const state = this.#functions.get(functionId);
    for (const worker of state?.workers.values() ?? []) {
      if (worker.job?.payload.context.awsRequestId !== requestId) continue;
      this.#settle(worker, response);
      this.#spares.keep(worker.boot);
      return true;
    }
    return false;
  }

  /** Later events of the function get new workers; what runs goes on to its end. */
  drain(functionId) {
    const state = this.#functions.get(functionId);
    if (state) this.#retire(state, () => true);
  }

  #state(id) {
    if (!this.#functions.has(id)) {
      this.#functions.set(id, { turn: Promise.resolve(), digest: undefined, workers: new Map() });
    }
    return this.#functions.get(id);
  }

  #find(id) {
    for (const state of this.#functions.values()) {
      const worker = state.workers.get(id);
      if (worker) return { state, worker };
    }
    return undefined;
  }

  #hand(state, one, found, env, job) {
    const { live, runtime } = found;
    const environ = environOf(env, job.payload.context, runtime);
    const key = keyOf(live, environ);
    if (state.digest !== live.digest) this.#retire(state, ({ digest }) => digest !== live.digest);
    state.digest = live.digest;
    const idle = [...state.workers.values()].filter((worker) => worker.resolve && worker.key === key);
    const worker = idle.at(-1) ?? this.#employ(state, one, found, environ, key);
    worker.job = { ...job, isTaken: worker.resolve !== undefined };
    this.#assigned(worker.id, job.payload.context.awsRequestId);
    clearTimeout(worker.timer);
    worker.resolve?.(job.payload);
    worker.resolve = undefined;
  }

  #employ(state, one, found, environ, key) {
    const { root } = one;
    const boot = bootOf(found, environ, { root, ric: this.#ric });
    const id = randomUUID();
    const process = this.#spares.take(boot);
    const worker = { id, key, boot, process, digest: found.live.digest, isRetired: false };
    process.heard = (stream, data) => {
      const requestId = worker.job?.payload.context.awsRequestId ?? worker.lastRequestId;
      this.#heard({ stream, data, funcId: one.id, requestId });
    };
    process.gone = (how) => {
      state.workers.delete(id);
      if (worker.job) this.#settle(worker, failure(...exitOf(worker.job, how)));
    };
    state.workers.set(id, worker);
    process.begin(taskOf(found, environ, { root, api: this.#apiOf(id, one.id) }));
    return worker;
  }

  #settle(worker, response) {
    const { job } = worker;
    worker.lastRequestId = job.payload.context.awsRequestId;
    worker.job = undefined;
    job.settle(response);
  }

  #rest(state, worker) {
    worker.timer = setTimeout(() => this.#end(state, worker), IDLE_MS);
    worker.timer.unref?.();
    state.workers.delete(worker.id); // the one used last stands at the end
    state.workers.set(worker.id, worker);
    const idle = [...state.workers.values()].filter(({ resolve }) => resolve);
    if (idle.length > MOST_IDLE) this.#end(state, idle[0]);
  }

  #retire(state, isOld) {
    for (const worker of [...state.workers.values()].filter(isOld)) {
      worker.isRetired = true;
      if (worker.resolve) this.#end(state, worker);
    }
  }

  #end(state, worker) {
    clearTimeout(worker.timer);
    state.workers.delete(worker.id);
    worker.process.end();
  }
}

export function failure(errorType, errorMessage, stackTrace = []) {
  return { type: "failure", error: { errorType, errorMessage, stackTrace } };
}

/** As Lambda puts it. */
function exitOf({ payload }, how) {
  const message = `RequestId: ${payload.context.awsRequestId} Error: Runtime exited with error`;
  return ["Runtime.ExitError", `${message}: ${how}`];
}
