import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { BuildFailed, connect, fresh, freshAll, RequestError, TimedOut } from "../index.js";
import { answer, BUILT, problem, send, verbs, world } from "./fake.js";

const FAULT = {
  code: "missing-export",
  severity: "error",
  message: 'src/list.ts does not export "handler"',
  where: { file: "src/list.ts", line: 3, column: 9 },
  hint: "it exports main",
};
const BROKEN = { code: "bad-yaml", severity: "error", message: "can't be read" };

const replying = (document) => (_request, response) => send(response, document);

test("fresh gives the function's object; a live tree is wanted unless told otherwise", async (t) => {
  const { client, requests } = await world(t);
  assert.deepEqual(await client.fresh("ListNotes"), BUILT);
  await client.fresh("ListNotes", { want: "zip" });
  const body = { functions: ["ListNotes"], want: "live" };
  assert.deepEqual(requests, [
    { method: "POST", url: "/v1/fresh", body },
    { method: "POST", url: "/v1/fresh", body: { ...body, want: "zip" } },
  ]);
});

test("the module's fresh and freshAll share one client for a project", async (t) => {
  const { argv, folder, commands, requests } = await world(t);
  const place = { project: folder, command: argv };
  assert.deepEqual(await fresh("ListNotes", place), BUILT);
  assert.deepEqual(await freshAll("all", { ...place, want: "zip" }), answer([BUILT]));
  assert.deepEqual(requests[1].body, { functions: "all", want: "zip" });
  assert.deepEqual(verbs(commands), ["daemon start", "daemon address"]);
});

for (const status of ["failed", "refused"]) {
  test(`a function that is ${status} throws BuildFailed with its diagnostics`, async (t) => {
    const item = { name: "ListNotes", status, diagnostics: [FAULT] };
    const { client } = await world(t, replying(answer([item])));
    await assert.rejects(client.fresh("ListNotes"), (fault) => {
      assert.ok(fault instanceof BuildFailed);
      assert.equal(fault.code, "build-failed");
      assert.deepEqual(fault.diagnostics, [FAULT]);
      assert.deepEqual(fault.function, item);
      const [first, second] = fault.message.split("\n");
      assert.equal(first, `ListNotes ${status}`);
      assert.equal(second, `  src/list.ts:3:9: error[missing-export] ${FAULT.message}`);
      return true;
    });
    assert.deepEqual(await client.freshAll(["ListNotes"]), answer([item]));
  });
}

test("an error of the project as a whole throws, even if the function itself is built", async (t) => {
  const document = answer([BUILT], { ok: false, diagnostics: [BROKEN] });
  const { client } = await world(t, replying(document));
  await assert.rejects(client.fresh("ListNotes"), (fault) => {
    assert.ok(fault instanceof BuildFailed);
    assert.deepEqual(fault.diagnostics, [BROKEN]);
    assert.deepEqual(fault.document, document);
    return true;
  });
});

test("a skipped function is an answer, without a live tree", async (t) => {
  const item = { name: "ListNotes", status: "skipped", diagnostics: [] };
  const { client } = await world(t, replying(answer([item])));
  assert.deepEqual(await client.fresh("ListNotes"), item);
});

test("a request that is not taken throws RequestError with the problem's own code", async (t) => {
  const document = problem(404, "unknown-function", "no function is called Nope", {
    unknown: ["Nope"],
    known: ["CreateNote", "ListNotes"],
  });
  const { client, commands } = await world(t, replying(document));
  await assert.rejects(client.fresh("Nope"), (fault) => {
    assert.ok(fault instanceof RequestError);
    assert.equal(fault.code, "unknown-function");
    assert.equal(fault.status, 404);
    assert.deepEqual(fault.problem.known, ["CreateNote", "ListNotes"]);
    assert.match(fault.message, /no function is called Nope; there are: CreateNote, ListNotes/);
    return true;
  });
  assert.equal(commands.length, 2, "the daemon is not started again for it");
});

test("the daemon is told the time that is left, and what it could not finish is named", async (t) => {
  const document = answer([], { ok: false, building: ["ListNotes"] });
  const { client, requests } = await world(t, replying(document));
  await assert.rejects(client.fresh("ListNotes", { timeoutMs: 60_000 }), (fault) => {
    assert.ok(fault instanceof TimedOut);
    assert.deepEqual(fault.building, ["ListNotes"]);
    return true;
  });
  const told = requests[0].body.timeout_s;
  assert.ok(told > 0 && told < 60, `the start took some of the 60 s: ${told}`);
  assert.deepEqual(await client.freshAll("all", { timeoutMs: 0 }), document);
  assert.equal(requests[1].body.timeout_s, 0);
});

test("a daemon that never answers is given up a second after the time", async (t) => {
  const { client } = await world(t, () => {});
  await assert.rejects(client.fresh("ListNotes", { timeoutMs: 1 }), TimedOut);
});

test("a time-out that is no number is the caller's fault, before anything is run", async (t) => {
  const { client, commands } = await world(t);
  for (const timeoutMs of [-1, Number.NaN, Number.POSITIVE_INFINITY, "5"]) {
    await assert.rejects(client.fresh("ListNotes", { timeoutMs }), TypeError);
  }
  assert.deepEqual(commands, []);
});

test("save sends the files, and its findings are an answer", async (t) => {
  const document = answer([BUILT], { ok: false, diagnostics: [FAULT] });
  const { client, requests } = await world(t, replying(document));
  assert.deepEqual(await client.save(["src/list.ts"], { timeoutMs: 9000 }), document);
  const { method, url, body } = requests[0];
  assert.deepEqual([method, url, body.files], ["POST", "/v1/save", ["src/list.ts"]]);
  assert.ok(body.timeout_s <= 9);
});

test("why asks for one function, whatever its name holds", async (t) => {
  const { client, requests } = await world(t, replying({ schema: 1, fresh: true }));
  assert.deepEqual(await client.why("Stack/List & more"), { schema: 1, fresh: true });
  assert.equal(requests[0].url, "/v1/why?function=Stack%2FList%20%26%20more");
});

test("build is the command's own: zips, without a daemon, ok or not", async (t) => {
  const self = await world(t);
  const document = answer([{ name: "ListNotes", status: "failed", diagnostics: [FAULT] }]);
  self.command = (args) => args[0] === "build" && { code: 1, stdout: JSON.stringify(document) };
  assert.deepEqual(await self.client.build(["ListNotes"]), document);
  await self.client.build();
  const args = ["build", "--json", "--project", self.folder, "--"];
  assert.deepEqual(self.commands, [[...args, "ListNotes"], args]);
  self.command = () => ({ code: 2, stderr: "no project\n" });
  await assert.rejects(self.client.build(), { code: "command-failed", message: "no project" });
});

test("a person who asks in a terminal says so with each request", async (t) => {
  const { argv, folder, requests } = await world(t);
  const client = connect({ project: folder, command: argv, typed: true });
  t.after(() => client.close());
  await client.fresh("ListNotes");
  assert.equal(requests[0].body.typed, true);
});

test("the command and its daemon have the environment that is given", async (t) => {
  const self = await world(t);
  const script = join(self.folder, "lambdad-env");
  writeFileSync(script, '#!/bin/sh\nprintf %s "$WORD" > "$0.word"\nexit 2\n', { mode: 0o755 });
  const env = { ...process.env, LAMBDAD: script, WORD: "given" };
  await assert.rejects(connect({ project: self.folder, env }).build(), { code: "command-failed" });
  assert.equal(readFileSync(`${script}.word`, "utf8"), "given");
});
