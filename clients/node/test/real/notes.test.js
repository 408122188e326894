/**
 * Against the real daemon. LAMBDAD names its command, and APP a copy of fixtures/apps/notes with
 * its packages installed, which the tests edit: tests/test_node_client.py sets both.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

import { BuildFailed, connect, RequestError } from "lambdad-client";

const app = process.env.APP;
const client = connect({ project: app });
const options = { skip: !app && "APP is not set: pytest tests/test_node_client.py runs this" };

after(async () => {
  if (app) await client.stop();
});

/** Changes a file until the test ends, or what is returned is called. */
function edit(t, file, before, after) {
  const path = join(app, file);
  const text = readFileSync(path, "utf8");
  assert.ok(text.includes(before), `${file} does not hold ${before}`);
  const undo = () => writeFileSync(path, text);
  t.after(undo);
  writeFileSync(path, text.replace(before, after));
  return undo;
}

/** The function when it was not built. After an edit in the tick of a build it is built twice. */
async function settled(name) {
  for (let round = 0; round < 50; round += 1) {
    const found = await client.fresh(name);
    if (found.cached) return found;
  }
  throw new Error(`${name} is built again and again`);
}

test("an edit changes the live digest, and no edit nothing", options, async (t) => {
  const first = await client.fresh("ListNotes");
  assert.equal(first.status, "built");
  assert.equal(first.handler, "list.handler");
  assert.deepEqual((await settled("ListNotes")).live, first.live);
  const undo = edit(t, "src/shared/answer.ts", "application/json", "application/hal+json");
  // Whether this request builds it or finds it built ahead is open: the digest alone tells.
  assert.notEqual((await client.fresh("ListNotes")).live.digest, first.live.digest);
  undo();
  assert.equal((await client.fresh("ListNotes")).live.digest, first.live.digest);
});

test("a broken edit throws its diagnostics, and the fix is seen", options, async (t) => {
  const undo = edit(t, "src/notes/list.ts", "handler()", "main()");
  await assert.rejects(client.fresh("ListNotes"), (fault) => {
    assert.ok(fault instanceof BuildFailed);
    assert.deepEqual(
      fault.diagnostics.map(({ code }) => code),
      ["missing-export"],
    );
    return true;
  });
  undo();
  assert.equal((await client.fresh("ListNotes")).status, "built");
});

test("a zip has the digest that the answer says", options, async () => {
  const { artifact } = await client.fresh("CreateNote", { want: "zip", timeoutMs: 60_000 });
  const bytes = readFileSync(join(app, artifact.immutable_path));
  const digest = createHash("sha256").update(bytes);
  assert.equal(digest.copy().digest("hex"), artifact.sha256);
  assert.equal(digest.digest("base64"), artifact.code_sha256);
  assert.equal(bytes.length, artifact.size);
});

test("many at once: all are answered, inline code is skipped", options, async () => {
  const names = ["ListNotes", "CreateNote", "DeleteNote", "Health"];
  const document = await client.freshAll(names);
  assert.equal(document.ok, true);
  const statuses = document.functions.map(({ name, status }) => [name, status]);
  assert.deepEqual(Object.fromEntries(statuses), {
    ListNotes: "built",
    CreateNote: "built",
    DeleteNote: "built",
    Health: "skipped",
  });
  assert.equal((await client.fresh("Health")).live, undefined);
});

test("an unknown function is refused, with the names there are", options, async () => {
  await assert.rejects(client.fresh("Nope"), (fault) => {
    assert.ok(fault instanceof RequestError);
    assert.equal(fault.code, "unknown-function");
    assert.deepEqual(fault.problem.unknown, ["Nope"]);
    assert.ok(fault.problem.known.includes("ListNotes"));
    return true;
  });
});

test("a killed daemon costs a start, and what was fresh stays so", options, async () => {
  const before = await settled("ListNotes");
  const { pid } = await client.status();
  process.kill(pid, "SIGKILL");
  const found = await client.fresh("ListNotes");
  assert.deepEqual([found.cached, found.live], [true, before.live]);
  assert.notEqual((await client.status()).pid, pid);
});

test("builds are heard of as they go on", options, async (t) => {
  const controller = new AbortController();
  const events = client.events({ signal: controller.signal });
  let heard;
  const first = events.next().then(({ value }) => (heard = value));
  // The listening may begin after the first build: each round is another.
  for (let round = 0; round < 100 && !heard; round += 1) {
    const undo = edit(t, "src/shared/answer.ts", "application/json", `application/${round}`);
    await client.fresh("ListNotes");
    undo();
  }
  await first;
  assert.ok(["building", "built"].includes(heard.event), JSON.stringify(heard));
  controller.abort();
  await assert.rejects(
    async () => {
      for await (const event of events) void event;
    },
    { name: "AbortError" },
  );
});

test("a live proxy never answers with code older than the save before", options, async (t) => {
  const path = fileURLToPath(new URL("../../example/live-proxy.mjs", import.meta.url));
  const child = spawn(process.execPath, [path, app], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(async () => {
    child.kill();
    await once(child, "close");
  });
  const [line] = await once(child.stdout, "data");
  const list = async () => {
    const answer = await fetch(`${String(line).trim()}/ListNotes`, { method: "POST" });
    return await answer.json();
  };
  const file = join(app, "src/shared/note.ts");
  const text = readFileSync(file, "utf8");
  for (let round = 0; round < 20; round += 1) {
    const changed = text.replace('"notes"', `"notes-${round}"`);
    if (round % 2) writeFileSync(file, changed);
    else {
      writeFileSync(`${file}.new`, changed);
      renameSync(`${file}.new`, file);
    }
    assert.equal(JSON.parse((await list()).body).table, `notes-${round}`);
  }
  writeFileSync(file, "export const = ;");
  const broken = await list();
  assert.equal(broken.errorType, "BuildFailed");
  assert.equal(broken.diagnostics[0].where.file, "src/shared/note.ts");
  writeFileSync(file, text);
  assert.equal(JSON.parse((await list()).body).table, "notes");
});

test("after stop nothing runs, until the next request", options, async () => {
  await settled("ListNotes");
  await client.stop();
  assert.deepEqual(await client.status(), { schema: 1, running: false });
  assert.equal((await client.fresh("ListNotes")).cached, true);
  assert.equal((await client.status()).running, true);
});
