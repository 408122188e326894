/** example/live-proxy.mjs, with a fake daemon and real workers. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { answer, BUILT, problem, send, world } from "./fake.js";

const PROXY = fileURLToPath(new URL("../example/live-proxy.mjs", import.meta.url));

/** The proxy before a fake daemon; `load` says what the next request is given to run. */
async function proxy(t) {
  const self = await world(t);
  self.load = (digest, source, { extension = ".cjs", ...more } = {}) => {
    const entry = `${digest}${extension}`;
    writeFileSync(join(self.folder, entry), source);
    const live = { entry, path: ["."], digest };
    const handler = `${digest}.handler`;
    self.document = answer([{ ...BUILT, handler, ...more, live }]);
  };
  self.reply = (_request, response) => send(response, self.document);
  const child = spawn(process.execPath, [PROXY, self.folder], {
    env: { ...process.env, LAMBDAD: self.program, PYTHON: process.env.PYTHON ?? "python3" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(async () => {
    child.kill();
    await once(child, "close");
  });
  const [line] = await once(child.stdout, "data");
  self.invoke = (event, options) => post(String(line).trim(), event, options);
  return self;
}

/** The proxy's answer: [status, document]. */
async function post(address, event, { signal, headers } = {}) {
  const request = http.request(`${address}/ListNotes`, { method: "POST", signal, headers });
  request.end(JSON.stringify(event));
  const [response] = await once(request, "response");
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  return [response.statusCode, JSON.parse(Buffer.concat(chunks).toString())];
}

function runs(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const COUNTING = "let n = 0; exports.handler = async (event) => ({ event, n: ++n });";

test("a worker is kept while the digest stays, and reloaded when it changes", async (t) => {
  const { load, invoke } = await proxy(t);
  load("d1", COUNTING);
  assert.deepEqual(await invoke({ a: 1 }), [200, { event: { a: 1 }, n: 1 }]);
  assert.deepEqual(await invoke({ a: 2 }), [200, { event: { a: 2 }, n: 2 }]);
  load("d2", COUNTING.replace("event,", "two: true,"));
  assert.deepEqual(await invoke({}), [200, { two: true, n: 1 }]);
  load("d3", 'export const handler = async () => "a module";', { extension: ".mjs" });
  assert.deepEqual(await invoke({}), [200, "a module"]);
});

test("a retired worker answers what it was asked before, and ends", async (t) => {
  const self = await proxy(t);
  // It answers when a file appears, and says that it was asked by another one.
  const [asked, go] = ["asked", "go"].map((name) => JSON.stringify(join(self.folder, name)));
  self.load(
    "d1",
    `const fs = require("node:fs");
    exports.handler = () => new Promise((resolve) => {
      const look = () => fs.existsSync(${go}) ? resolve(process.pid) : setTimeout(look, 5);
      fs.writeFileSync(${asked}, "");
      look();
    });`,
  );
  const before = self.invoke({});
  while (!existsSync(JSON.parse(asked))) await new Promise(setImmediate);
  self.load("d2", 'exports.handler = (_event, _context, callback) => callback(null, "new");');
  assert.deepEqual(await self.invoke({}), [200, "new"]);
  writeFileSync(JSON.parse(go), "");
  const [status, pid] = await before;
  assert.equal(status, 200);
  while (runs(pid)) await new Promise(setImmediate);
});

test("a handler that throws, or ends its process, is told of, and the next call works", async (t) => {
  const { load, invoke } = await proxy(t);
  load(
    "d1",
    `exports.handler = async ({ how }) => {
      if (how === "throw") throw new TypeError("no table");
      if (how === "exit") process.exit(3);
      return "ok";
    };`,
  );
  const [status, fault] = await invoke({ how: "throw" });
  assert.deepEqual([status, fault.errorType, fault.errorMessage], [502, "TypeError", "no table"]);
  assert.match(fault.trace[1], /d1\.cjs:2/);
  const gone = { errorType: "WorkerGone", errorMessage: "the worker ended with 3" };
  assert.deepEqual(await invoke({ how: "exit" }), [502, gone]);
  assert.deepEqual(await invoke({}), [200, "ok"]);
});

test("Python functions run in a process of their own, and reload alike", async (t) => {
  const { load, invoke } = await proxy(t);
  const python = { runtime: "python3.12", extension: ".py" };
  load(
    "d1",
    "def handler(event, context):\n    return [context.function_name, 7 / event]\n",
    python,
  );
  assert.deepEqual(await invoke(2), [200, ["ListNotes", 3.5]]);
  const [status, fault] = await invoke(0);
  assert.deepEqual([status, fault.errorType], [502, "ZeroDivisionError"]);
  assert.match(fault.trace.join("\n"), /d1\.py", line 2/);
  load("d2", "def handler(event, context):\n    return event + 1\n", python);
  assert.deepEqual(await invoke(2), [200, 3]);
});

test("failed builds, unknown functions and foreign pages get answers of their own", async (t) => {
  const self = await proxy(t);
  const fault = { code: "missing-export", severity: "error", message: "no handler" };
  self.document = answer([{ name: "ListNotes", status: "failed", diagnostics: [fault] }]);
  const failed = { errorType: "BuildFailed", diagnostics: [fault] };
  assert.deepEqual(await self.invoke({}), [502, failed]);
  self.document = problem(404, "unknown-function", "no function is called ListNotes");
  const unknown = { errorType: "unknown-function", errorMessage: self.document.detail };
  assert.deepEqual(await self.invoke({}), [404, unknown]);
  self.requests.length = 0;
  for (const headers of [{ host: "evil.example" }, { origin: "https://evil.example" }]) {
    assert.equal((await self.invoke({}, { headers }))[0], 403);
  }
  assert.deepEqual(self.requests, []);
});

test("a caller that hangs up drops its wait for the build", async (t) => {
  const self = await proxy(t);
  const controller = new AbortController();
  const closed = new Promise((resolve) => {
    self.reply = (_request, response) => {
      response.on("close", resolve);
      controller.abort();
    };
  });
  await assert.rejects(self.invoke({}, { signal: controller.signal }), { name: "AbortError" });
  await closed;
});
