import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { getEventListeners, once } from "node:events";
import { test } from "node:test";
import { promisify } from "node:util";

import { connect, DaemonError } from "../index.js";
import { answer, BUILT, problem, send, signalled, verbs, world } from "./fake.js";

const START = ["daemon start", "daemon address"];

test("a daemon that runs is found once, and asked over one connection", async (t) => {
  const self = await world(t);
  await self.run();
  for (let round = 0; round < 5; round += 1) await self.client.fresh("ListNotes");
  const place = ["--project", self.folder];
  assert.deepEqual(self.commands, [
    ["daemon", "start", ...place],
    ["daemon", "address", ...place],
  ]);
  assert.equal(self.connections, 1);
});

test("of many first calls at once, one starts the daemon", async (t) => {
  const self = await world(t);
  await Promise.all(Array.from({ length: 8 }, () => self.client.fresh("ListNotes")));
  assert.deepEqual(verbs(self.commands), START);
});

test("a daemon that died is started once by all who lost it, and each is answered", async (t) => {
  const self = await world(t);
  await self.client.fresh("ListNotes");
  self.kill();
  self.commands.length = 0;
  const answers = Array.from({ length: 8 }, () => self.client.fresh("ListNotes"));
  assert.deepEqual(await Promise.all(answers), Array(8).fill(BUILT));
  assert.deepEqual(verbs(self.commands), START);
});

test("a daemon that dies while it answers costs a retry", async (t) => {
  const self = await world(t);
  self.reply = (_request, response) => {
    if (verbs(self.commands).length > 2) return send(response, answer([BUILT]));
    response.writeHead(200, { "content-length": 1000 });
    return response.write("{", self.kill);
  };
  assert.deepEqual(await self.client.fresh("ListNotes"), BUILT);
  assert.deepEqual(verbs(self.commands), [...START, ...START]);
});

test("an idle connection that closes as it is used again costs no start", async (t) => {
  const self = await world(t);
  const used = new Set();
  self.reply = (request, response) => {
    if (used.has(request.socket)) return request.socket.destroy();
    used.add(request.socket);
    return send(response, answer([BUILT]));
  };
  assert.deepEqual(await self.client.fresh("ListNotes"), BUILT);
  assert.deepEqual(await self.client.fresh("ListNotes"), BUILT);
  assert.equal(self.requests.length, 3, "the second call was made twice");
  assert.deepEqual(verbs(self.commands), START);
});

test("a daemon that hangs is told from one that builds for long, and replaced", async (t) => {
  const self = await world(t);
  const [asked, ask] = signalled();
  const [pinged, ping] = signalled();
  let silent = true;
  self.reply = (request, response) => {
    if (!silent) send(response, answer([BUILT]));
    else if (request.url === "/v1/fresh") ask();
    else if (pings++) ping();
    else send(response, problem(404, "no-such-path", "but alive"));
  };
  let pings = 0;
  t.mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  const call = self.client.fresh("ListNotes");
  await asked;
  t.mock.timers.tick(10_000);
  while (pings < 1) await new Promise(setImmediate);
  assert.deepEqual(verbs(self.commands), START, "it gave a sign of life");
  t.mock.timers.tick(10_000);
  await pinged;
  silent = false;
  t.mock.timers.tick(5000);
  assert.deepEqual(await call, BUILT);
  assert.deepEqual(verbs(self.commands), [...START, ...START]);
});

test("a daemon that says it is leaving is followed by the next one", async (t) => {
  const self = await world(t);
  let left = false;
  self.reply = (_request, response) => {
    send(response, left ? answer([BUILT]) : problem(503, "leaving", "the daemon is leaving"));
    left = true;
  };
  assert.deepEqual(await self.client.fresh("ListNotes"), BUILT);
  assert.deepEqual(verbs(self.commands), [...START, ...START]);
});

const FAILING = [
  ["is lost twice", /lost twice/, { reply: (request) => request.socket.destroy() }],
  ["can't start", /no socket/, { start: { code: 2, stderr: "error[no-room]: no socket\n" } }],
  ["starts and leaves", /left as soon as it was there/, { address: { code: 1 } }],
  [
    "has a fault of its own",
    /lambdad failed/,
    { reply: (_request, response) => send(response, problem(500, "bug", "lambdad failed")) },
  ],
];
for (const [how, words, { reply, ...scripts }] of FAILING) {
  test(`where the daemon ${how}, that is told and the command builds`, async (t) => {
    const self = await world(t, reply);
    self.command = ([verb, next]) => {
      if (verb === "fresh") return { code: 2, stdout: JSON.stringify(answer([BUILT])) };
      return scripts[next];
    };
    const warned = once(process, "warning");
    assert.deepEqual(await self.client.fresh("ListNotes", { want: "zip" }), BUILT);
    const [warning] = await warned;
    assert.equal(warning.code, "LAMBDAD_NO_DAEMON");
    assert.match(warning.message, words);
    const tail = ["--want", "zip", "--project", self.folder, "--", "ListNotes"];
    assert.deepEqual(self.commands.at(-1), ["fresh", "--json", ...tail]);
  });
}

test("where the command can't build either, its own words are the error", async (t) => {
  const self = await world(t);
  self.command = () => ({ code: 2, stderr: "error[no-project]: nothing to build here\n" });
  await assert.rejects(self.client.fresh("ListNotes"), (fault) => {
    assert.ok(fault instanceof DaemonError);
    assert.equal(fault.code, "command-failed");
    assert.equal(fault.message, "error[no-project]: nothing to build here");
    return true;
  });
  self.command = null;
  assert.deepEqual(await self.client.fresh("ListNotes"), BUILT, "a failed search is not kept");
});

test("without a lambdad command the error says what to do; LAMBDAD names another", async (t) => {
  const { folder } = await world(t);
  t.after(() => delete process.env.LAMBDAD);
  process.env.LAMBDAD = `${folder}/nothing here`;
  await assert.rejects(connect({ project: folder }).fresh("ListNotes"), (fault) => {
    assert.equal(fault.code, "no-command");
    assert.match(fault.message, /nothing here can't be run \(ENOENT\).*LAMBDAD/);
    return true;
  });
  process.env.LAMBDAD = folder;
  const isFolder = { code: "no-command", message: `${folder} is a folder: LAMBDAD must name the lambdad command itself` };
  await assert.rejects(connect({ project: folder }).fresh("ListNotes"), isFolder);
});

test("the command says its version; another program's is none", async (t) => {
  const self = await world(t);
  assert.equal(await self.client.version(), "0.1.0");
  const other = connect({ project: self.folder, command: process.execPath });
  await assert.rejects(other.version(), { code: "no-command" });
});

test("an aborted call drops its connection and nothing else", async (t) => {
  const self = await world(t);
  const [both, bothHere] = signalled();
  const responses = [];
  self.reply = (_request, response) => {
    if (responses.push(response) === 2) bothHere();
  };
  const controller = new AbortController();
  const stays = self.client.fresh("ListNotes");
  const goes = self.client.fresh("ListNotes", { signal: controller.signal });
  await both;
  const closed = Promise.race(responses.map((response) => once(response, "close")));
  controller.abort(new Error("the caller hung up"));
  await assert.rejects(goes, /the caller hung up/);
  await closed;
  const open = responses.filter((response) => !response.closed);
  assert.equal(open.length, 1);
  send(open[0], answer([BUILT]));
  assert.deepEqual(await stays, BUILT);
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
});

test("a call aborted amid its answer hears why, and asks nobody again", async (t) => {
  const self = await world(t);
  const controller = new AbortController();
  self.reply = async (_request, response) => {
    response.writeHead(200, { "content-length": 1000 });
    response.write("{");
    // The client reads in this very process: after some turns of the loop it has.
    for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate);
    controller.abort(new Error("enough"));
  };
  await assert.rejects(self.client.fresh("ListNotes", { signal: controller.signal }), /enough/);
  assert.equal(self.requests.length, 1);
  self.reply = (_request, response) => send(response, { running: true });
  for (let round = 0; round < 2; round += 1) await self.client.status();
  assert.deepEqual(verbs(self.commands), [...START, "daemon address", "daemon address"]);
});

test("a call aborted before it began runs nothing; one aborted in the start leaves the start", async (t) => {
  const self = await world(t);
  await assert.rejects(self.client.fresh("ListNotes", { signal: AbortSignal.abort() }), {
    name: "AbortError",
  });
  // Two commands later one begun before would have been seen, too.
  for (let round = 0; round < 2; round += 1) await self.client.status();
  assert.deepEqual(verbs(self.commands), ["daemon address", "daemon address"]);
  self.commands.length = 0;
  const controller = new AbortController();
  self.command = (args) => void (args[1] === "start" && controller.abort());
  const goes = self.client.fresh("ListNotes", { signal: controller.signal });
  const stays = self.client.fresh("ListNotes");
  await assert.rejects(goes, { name: "AbortError" });
  assert.deepEqual(await stays, BUILT);
  assert.deepEqual(verbs(self.commands), START);
});

test("a signal that outlives many calls collects no listeners", async (t) => {
  const { client } = await world(t);
  const { signal } = new AbortController();
  for (let round = 0; round < 20; round += 1) await client.fresh("ListNotes", { signal });
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("status starts no daemon, and tells of one that died", async (t) => {
  const self = await world(t, (_request, response) => send(response, { running: true, pid: 7 }));
  assert.deepEqual(await self.client.status(), { schema: 1, running: false });
  await self.run();
  assert.deepEqual(await self.client.status(), { running: true, pid: 7 });
  self.kill();
  self.command = () => ({ stdout: self.socket });
  assert.deepEqual(await self.client.status(), { schema: 1, running: false });
});

test("stop returns when all is gone, and the next call starts anew", async (t) => {
  const self = await world(t);
  await self.client.fresh("ListNotes");
  await self.client.stop();
  self.commands.length = 0;
  assert.deepEqual(await self.client.fresh("ListNotes"), BUILT);
  assert.deepEqual(verbs(self.commands), START);
});

test("an idle client does not keep its process alive", async (t) => {
  const self = await world(t);
  const program = `
    import { connect } from ${JSON.stringify(new URL("../index.js", import.meta.url).href)};
    const place = { project: process.argv[1], command: process.argv.slice(2) };
    console.log((await connect(place).fresh("ListNotes", { timeoutMs: 600_000 })).live.digest);`;
  const args = ["--input-type=module", "--eval", program, self.folder, ...self.argv];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 30_000 });
  assert.equal(stdout, "d1\n");
});
