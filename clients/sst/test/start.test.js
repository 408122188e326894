/** `lambdad-sst start`: one session of real processes, with a stand-in for SST and a fake daemon. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { answer, send } from "../../node/test/fake.js";
import { app, construct, started } from "./fake.js";

const PYTHON = { runtime: "python3.9", handler: "src/app.handler" };
const NAMES = ["F", "G", "H"];
const FUNCTIONS = [
  ...NAMES.map((name) => construct(name)),
  construct("P", PYTHON),
  construct("Go", { runtime: "go1.x" }),
  construct("Plugins", { bundle: { esbuildConfig: { plugins: "plugins.js" } } }),
];

const returning = (text) => `export const handler = async (event) => ({ text: "${text}", event });`;

let self;
let run;
const ends = [];
before(async () => {
  self = await app({ after: (end) => ends.push(end) }, FUNCTIONS);
  run = await started(self, { env: { NODE_OPTIONS: "--no-warnings", VIRTUAL_ENV: "" } });
});
after(async () => {
  for (const end of ends.reverse()) await end();
});

test("an event is answered by the code as it is now, and the next save by the next code", async () => {
  for (const text of ["one", "two", "three"]) {
    self.live("F", text, returning(text));
    const { result } = await run.call({ invoke: "F", event: { n: 1 } });
    assert.deepEqual(result, { type: "success", data: { text, event: { n: 1 } } });
  }
  assert.match(run.text, /^lambdad .* builds the functions of SST 1\.18\.4/);
  assert.match(run.errors, /lambdad built services src\/list\.handler \(4ms\)/);
});

test("SST's own arguments are as typed", () => {
  assert.deepEqual(run.first.argv, ["start", "--stage", "dev"]);
});

test("the runtime API listens on loopback", () => {
  assert.equal(run.ready.ready.address, "127.0.0.1");
});

test("a worker has the event's variables and the user's NODE_OPTIONS alone", async () => {
  self.live("F", "env", "export const handler = () => process.env;");
  assert.match(run.first.options, /^--no-warnings --import=file:/);
  const { data: env } = (await run.call({ invoke: "F", env: { TABLE: "notes" } })).result;
  assert.equal(env.NODE_OPTIONS, "--no-warnings");
  assert.equal(env.TABLE, "notes");
  assert.equal(env.IS_LOCAL, "true");
  assert.equal(env.AWS_LAMBDA_FUNCTION_NAME, "F");
  const other = await run.call({ invoke: "F", env: { TABLE: "users" } });
  assert.equal(other.result.data.TABLE, "users");
});

test("a worker serves several events, and what it prints is heard", async () => {
  const source = "let n = 0; export const handler = () => { console.log('heard'); return ++n; };";
  self.live("F", "counting", source);
  let last;
  // An event that comes before the worker has asked for the next one gets another worker.
  do last = await run.call({ invoke: "F" });
  while (last.result.data === 1);
  assert.equal(last.result.data, 2);
  assert.match(JSON.stringify(last.printed), /"data":"heard\\n","funcId":"F"/);
});

const FAULTS = [
  ["can't be loaded", "throw new RangeError('at start');", /^RangeError$/, /at start/],
  ["is no JavaScript", "const = 1;", /^Runtime.UserCodeSyntaxError$/, /Unexpected token/],
  ["lacks a package", 'import "no-such-package";', /^Runtime.ImportModuleError$/, /no-such/],
  ["has another export", "export const main = 1;", /^Runtime.HandlerNotFound$/, /not exported/],
  ["throws", "export const handler = async () => { throw new TypeError('no'); };", /^TypeError$/, /no/],
  ["exits", "export const handler = () => process.exit(7);", /^Runtime.ExitError$/, /status 7/],
];
for (const [what, source, type, message] of FAULTS) {
  test(`the caller hears that a function ${what}, and the next save mends it`, async () => {
    self.live("F", `bad-${type.source.length}-${source.length}`, source);
    const { result } = await run.call({ invoke: "F" });
    assert.equal(result.type, "failure");
    assert.match(result.error.errorType, type);
    assert.match(result.error.errorMessage, message);
    assert.ok(Array.isArray(result.error.stackTrace));
    self.live("F", "good", returning("mended"));
    assert.equal((await run.call({ invoke: "F" })).result.data.text, "mended");
  });
}

test("a build's diagnostics are the answer", async () => {
  const where = { file: "services/src/list.ts", line: 3, column: 9 };
  const fault = { code: "syntax-error", severity: "error", message: "it is broken", where };
  const { reply } = self;
  self.reply = (_request, response) =>
    send(response, answer([{ name: "F", status: "failed", diagnostics: [fault] }]));
  const { error } = (await run.call({ invoke: "F" })).result;
  self.reply = reply;
  assert.equal(error.errorType, "build_failure");
  assert.match(error.errorMessage, /services\/src\/list\.ts:3:9: error\[syntax-error\] it is broken/);
});

test("what runs ends on the code it began with, over a save and a stack change", async () => {
  self.live("H", "old", `
    import { once } from "node:events";
    import { createServer } from "node:net";
    export const handler = async () => {
      const server = createServer().listen("gate");
      const [peer] = await once(server, "connection");
      server.close();
      peer.end();
      return "old";
    };`);
  run.ask({ invoke: "H", id: "slow" });
  while (!existsSync(join(self.folder, "gate"))) await tick();
  self.live("H", "new", returning("new"));
  run.ask({ drain: "H", synth: true });
  run.ask({ invoke: "H", id: "fast" });
  assert.deepEqual((await run.next()).bundled, {});
  const fast = await run.next();
  assert.deepEqual([fast.id, fast.result.data.text], ["fast", "new"]);
  connect(join(self.folder, "gate")).end();
  const slow = await run.next();
  assert.deepEqual([slow.id, slow.result.data], ["slow", "old"]);
});

test("sixteen at once are each answered once", async () => {
  self.live("G", "one", returning("one"));
  for (let n = 0; n < 16; n += 1) run.ask({ invoke: "G", event: n, id: `${n}` });
  const seen = new Set();
  for (let n = 0; n < 16; n += 1) {
    const { id, result } = await run.next();
    assert.equal(`${result.data.event}`, id);
    seen.add(id);
  }
  assert.equal(seen.size, 16);
});

test("Python runs with the interpreter and the path of the answer, and stays warm", async () => {
  const source = `import sys
n = 0
def handler(event, context):
    global n
    n += 1
    left = context.get_remaining_time_in_millis()
    return [n, event, context.function_name, 0 < left <= 30000, sys.path[0]]
`;
  const interpreter = process.env.PYTHON ?? "python3";
  const python = (digest, text) =>
    self.live("P", digest, text, {
      runtime: "python3.9",
      handler: `P-${digest}.handler`,
      extension: ".py",
      live: { entry: `P-${digest}.py`, path: ["."], digest, interpreter },
    });
  python("one", source);
  let most = 0;
  for (const n of [1, 2, 3, 4, 5, 6]) {
    const { result } = await run.call({ invoke: "P", event: n });
    const [count, ...rest] = result.data;
    assert.deepEqual(rest, [n, "P", true, self.folder]);
    most = Math.max(most, count);
  }
  // A worker that has not said yet that it is idle gets no event, so one of the six may go to another.
  assert.ok(most > 1, `${most}`);
  python("bad", "def handler(event, context):\n    raise KeyError('gone')\n");
  const { error } = (await run.call({ invoke: "P" })).result;
  assert.deepEqual([error.errorType, error.errorMessage], ["KeyError", "'gone'"]);
  python("worse", "import no_such_module\n");
  const worse = (await run.call({ invoke: "P" })).result.error;
  assert.deepEqual(worse.errorType, "ModuleNotFoundError");
});

test("SST keeps what is not lambdad's, and each is named once", async () => {
  assert.equal(run.ready.watched.length, 2); // those two alone
  for (const n of [1, 2]) {
    const { result } = await run.call({ invoke: "Go", event: n });
    assert.deepEqual(result.data, { sst: n });
  }
  assert.equal(run.printed().match(/SST builds Go .*go1\.x/g).length, 1);
  assert.equal(run.printed().match(/SST builds Plugins .*esbuild plugins/g).length, 1);
});

test("a function that the list lost is still answered, and is in it again", async () => {
  self.live("F", "listed", returning("listed"));
  self.declare(FUNCTIONS.filter(({ localId }) => localId !== "F"));
  const { reply } = self;
  self.reply = (request, response, body) => {
    const list = readFileSync(join(self.folder, ".sst", "functions.jsonl"), "utf8");
    if (list.includes('"id":"F"')) return reply(request, response, body);
    return send(response, { status: 404, code: "unknown-function", detail: "no", known: [] });
  };
  await run.call({ synth: true, invoke: "F", known: true });
  const { result } = await run.next();
  self.reply = reply;
  assert.equal(result.data.text, "listed");
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  test(`${signal} ends it with its workers and the daemon that it started`, async (t) => {
    const own = await app(t);
    own.live("F", "one", "export const handler = () => process.pid;");
    const session = await started(own);
    const { data: pid } = (await session.call({ invoke: "F" })).result;
    session.child.kill(signal);
    assert.ok((await session.ended()) > 128);
    while (isRunning(pid)) await tick();
    assert.equal(own.commands.at(-1).slice(0, 2).join(" "), "daemon stop");
  });
}

test("without a lambdad command SST builds itself, and one line says why", async (t) => {
  const own = await app(t);
  const session = await started(own, { env: { LAMBDAD: "/no/such/lambdad" } });
  assert.match(session.errors, /^lambdad-sst: \/no\/such\/lambdad can't be run .*ENOENT.*\n/);
  assert.deepEqual((await session.call({ invoke: "F", event: 1 })).result.data, { sst: 1 });
  assert.equal(session.first.options, "");
});

const tick = () => new Promise((resolve) => setTimeout(resolve, 5));

/** Whether there is such a process; one that ended and awaits its parent is none. */
function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch (fault) {
    return fault.code !== "ESRCH" && existsSync(`/proc/${pid}`);
  }
}
