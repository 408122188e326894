/** Which worker gets which event, with processes that are scripted. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Live } from "../lib/live.js";
import { Spares } from "../lib/spares.js";

/** A Live whose code, processes and workers' calls the test decides. */
function session() {
  const self = { code: { digest: "one" }, builds: [], processes: [], heard: [] };
  const start = (boot) => {
    const process = { boot, isGone: false, tasks: [], ended: false };
    process.begin = (task) => process.tasks.push(task);
    process.end = () => {
      process.ended = true;
    };
    self.processes.push(process);
    return process;
  };
  self.live = new Live({
    fresh: (one) =>
      new Promise((resolve, reject) => {
        const { digest, fault } = self.code;
        const found = { runtime: "nodejs16.x", handler: "a.b", live: { entry: "a.mjs", digest } };
        const settle = () => (fault ? reject(fault) : resolve(found));
        if (self.code.held) self.builds.push(settle);
        else settle();
      }),
    ric: "ric",
    apiOf: (worker) => worker,
    heard: (line) => self.heard.push(line),
    assigned() {},
    start,
  });
  let ids = 0;
  self.invoke = (env = {}) => {
    ids += 1;
    const context = { awsRequestId: `r${ids}`, functionName: "F", memoryLimitInMB: 1 };
    const payload = { context, event: ids, deadline: Infinity };
    return self.live.invoke({ function: { id: "F", root: "/app" }, env, payload });
  };
  /** Workers by the order of their tasks. */
  self.workers = () => self.processes.flatMap((one) => one.tasks.map(({ env }) => env.AWS_LAMBDA_RUNTIME_API));
  self.answer = async (worker) => {
    const { context } = await self.live.next(worker);
    self.live.respond("F", context.awsRequestId, { type: "success", data: context.awsRequestId });
    return context.awsRequestId;
  };
  return self;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("a worker that is done and asks again gets the next event", async () => {
  const self = session();
  const first = self.invoke();
  await turn();
  const [worker] = self.workers();
  await self.answer(worker);
  await first;
  const next = self.live.next(worker);
  const second = self.invoke();
  assert.equal((await next).context.awsRequestId, "r2");
  self.live.respond("F", "r2", { type: "success" });
  await second;
  assert.equal(self.workers().length, 1);
});

test("events begin in the order they came, though a later one's code is there first", async () => {
  const self = session();
  self.code.held = true;
  void self.invoke();
  void self.invoke();
  await turn();
  self.builds[1]();
  await turn();
  assert.deepEqual(self.workers(), []);
  self.builds[0]();
  await turn();
  const events = await Promise.all(self.workers().map((worker) => self.live.next(worker)));
  assert.deepEqual(events.map(({ event }) => event), [1, 2]);
});

test("an event whose build fails holds up no other", async () => {
  const self = session();
  self.code.fault = new Error("broken");
  const first = self.invoke();
  self.code = { digest: "one" };
  void self.invoke();
  await assert.rejects(first, /broken/);
  await turn();
  assert.equal((await self.live.next(self.workers()[0])).event, 2);
});

test("new code ends idle workers at once, and busy ones when they have answered", async () => {
  const self = session();
  const busy = self.invoke();
  const idle = self.invoke();
  await turn();
  const [one, two] = self.workers();
  await self.live.next(one);
  await self.answer(two);
  await idle;
  void self.live.next(two);
  self.code = { digest: "two" };
  void self.invoke();
  await turn();
  const [first, second] = self.processes;
  assert.deepEqual([first.ended, second.ended], [false, true]);
  self.live.respond("F", "r1", { type: "success", data: "old" });
  assert.equal((await busy).data, "old");
  void self.live.next(one);
  assert.equal(first.ended, true);
});

test("after a stack change events get new workers, and what runs is answered", async () => {
  const self = session();
  const running = self.invoke();
  await turn();
  const [one] = self.workers();
  await self.live.next(one);
  self.live.drain("F");
  assert.equal(self.processes[0].ended, false);
  void self.invoke();
  await turn();
  assert.equal(self.workers().length, 2);
  self.live.respond("F", "r1", { type: "success", data: "old" });
  assert.equal((await running).data, "old");
});

test("other variables are another worker; the trace of an event is none", async () => {
  const self = session();
  const first = self.invoke({ KEY: "1", _X_AMZN_TRACE_ID: "a" });
  await turn();
  const [worker] = self.workers();
  await self.answer(worker);
  await first;
  void self.live.next(worker);
  void self.invoke({ KEY: "1", _X_AMZN_TRACE_ID: "b" });
  await turn();
  assert.equal(self.workers().length, 1);
  void self.invoke({ KEY: "2" });
  await turn();
  assert.equal(self.workers().length, 2);
});

test("a worker that ends with an event answers it, as Lambda does", async () => {
  const self = session();
  const first = self.invoke();
  await turn();
  self.processes[0].gone("exit status 7");
  const { type, error } = await first;
  assert.equal(type, "failure");
  assert.equal(error.errorType, "Runtime.ExitError");
  assert.equal(error.errorMessage, "RequestId: r1 Error: Runtime exited with error: exit status 7");
});

test("an event is answered once: what comes later is none of these", async () => {
  const self = session();
  const first = self.invoke();
  await turn();
  await self.live.next(self.workers()[0]);
  assert.equal(self.live.respond("F", "r1", { type: "success", data: 1 }), true);
  assert.equal(self.live.respond("F", "r1", { type: "success", data: 2 }), false);
  assert.equal((await first).data, 1);
});

test("what a worker prints belongs to its event, or to the last one", async () => {
  const self = session();
  const first = self.invoke();
  await turn();
  const [process] = self.processes;
  process.heard("stdout", "a");
  await self.answer(self.workers()[0]);
  await first;
  process.heard("stderr", "b");
  assert.deepEqual(self.heard, [
    { stream: "stdout", data: "a", funcId: "F", requestId: "r1" },
    { stream: "stderr", data: "b", funcId: "F", requestId: "r1" },
  ]);
});

test("a process that has booted is there for the next code", async () => {
  const self = session();
  const first = self.invoke();
  await turn();
  await self.answer(self.workers()[0]);
  await first;
  assert.deepEqual(self.processes.map(({ tasks }) => tasks.length), [1, 0]);
  self.code = { digest: "two" };
  void self.invoke();
  await turn();
  assert.deepEqual(self.processes.map(({ tasks }) => tasks.length), [1, 1]);
});

test("of workers without work eight stay", async () => {
  const self = session();
  const all = Array.from({ length: 10 }, () => self.invoke());
  await turn();
  const workers = self.workers();
  for (const worker of workers) await self.answer(worker);
  await Promise.all(all);
  for (const worker of workers) void self.live.next(worker);
  assert.equal(self.processes.filter(({ ended }) => ended).length, 2);
});

const boot = (env, more) => ({ program: "node", args: [], cwd: "/app", env, ...more });

test("a spare fits whatever is not decided at a process's start", () => {
  const started = [];
  const spares = new Spares((one) => {
    started.push({ ...one, end() {} });
    return started.at(-1);
  });
  spares.keep(boot({ TABLE: "a" }));
  assert.equal(spares.take(boot({ TABLE: "b" })), started[0]);
  spares.keep(boot({ TABLE: "a" }));
  for (const other of [
    boot({ NODE_OPTIONS: "--max-old-space-size=99" }),
    boot({ LD_LIBRARY_PATH: "/opt/lib" }),
    boot({}, { program: "python3" }),
  ]) {
    assert.notEqual(spares.take(other), started[1]);
  }
  assert.equal(spares.take(boot({})), started[1]);
});

test("where the user's code is loaded first, a spare fits the same variables only", () => {
  const spares = new Spares((one) => ({ ...one, end() {} }));
  const hooked = { NODE_OPTIONS: "--require ./trace.cjs" };
  spares.keep(boot({ ...hooked, NAME: "a" }));
  assert.equal(spares.take(boot({ ...hooked, NAME: "b" })).env.NAME, "b");
  assert.equal(spares.take(boot({ ...hooked, NAME: "a" })).env.NAME, "a");
});

test("the kinds of spares used last are kept, and one that ended is none", () => {
  const started = [];
  const spares = new Spares((one) => {
    const process = { ...one, isGone: false, ended: false, end: () => (process.ended = true) };
    started.push(process);
    return process;
  });
  for (let n = 0; n < 5; n += 1) spares.keep(boot({}, { program: `p${n}` }));
  assert.deepEqual(started.map(({ ended }) => ended), [true, false, false, false, false]);
  started[1].isGone = true;
  assert.notEqual(spares.take(boot({}, { program: "p1" })), started[1]);
});
