/** `lambdad-sst build` and `deploy`: real processes, with a stand-in for SST and a fake lambdad. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { answer } from "../../node/test/fake.js";
import { app, construct } from "./fake.js";

const built = (name, more) => ({
  name,
  status: "built",
  cached: false,
  diagnostics: [],
  handler: "list.handler",
  artifact: { immutable_path: `.lambdad/artifacts/${name}.zip` },
  ...more,
});

/** `lambdad build` answers so. */
const answering = (self, document, code = 0) => {
  self.command = (args) => args[0] === "build" && { code, stdout: JSON.stringify(document) };
};

for (const command of ["build", "deploy"]) {
  test(`${command} takes lambdad's zips as assets, all built by one command`, async (t) => {
    const self = await app(t, [construct("F"), construct("G")]);
    answering(self, answer([built("F"), built("G", { cached: true })]));
    const run = await self.sst([command, "--stage", "prod"]);
    assert.deepEqual((await run.next()).argv, [command, "--stage", "prod"]);
    const { bundled } = await run.next();
    for (const name of ["F", "G"]) {
      const path = join(self.folder, ".lambdad", "artifacts", `${name}.zip`);
      assert.deepEqual(bundled[name], { asset: { path }, handler: "list.handler" });
    }
    assert.equal(await run.ended(), 0);
    const place = ["--json", "--project", self.folder, "--"];
    assert.deepEqual(self.commands, [["--version"], ["build", ...place, "F", "G"]]);
    assert.match(run.text, /lambdad: 1 functions built, 1 unchanged/);
  });
}

test("the list has what SST's own lacks: architecture and layers, of all functions", async (t) => {
  const copyFiles = [{ from: "a.txt" }];
  const self = await app(t, [
    construct("Arm", { bundle: { copyFiles }, layers: [{}] }, { architecture: { name: "arm64" } }),
    construct("Plain", { runtime: undefined, srcPath: undefined }),
  ]);
  answering(self, answer([built("Arm"), built("Plain")]));
  const run = await self.sst(["build"]);
  assert.equal(await run.ended(), 0);
  const text = readFileSync(join(self.folder, ".sst", "functions.jsonl"), "utf8");
  const root = self.folder;
  assert.deepEqual(text.trim().split("\n").map((line) => JSON.parse(line)), [
    {
      id: "Arm", handler: "src/list.handler", runtime: "nodejs16.x", srcPath: "services",
      bundle: { copyFiles }, root, architecture: "arm64", layers: true,
    },
    {
      id: "Plain", handler: "src/list.handler", runtime: "nodejs14.x", srcPath: ".", root,
      architecture: "x86_64",
    },
  ]);
});

const KEPT = [
  ["another runtime", { runtime: "go1.x" }, /go1\.x/],
  ["an old runtime", { runtime: "python3.7" }, /python3\.7/],
  ["hooks", { bundle: { commandHooks: { afterBundling: 1 } } }, /commandHooks/],
  ["plugins", { bundle: { esbuildConfig: { plugins: "p.js" } } }, /esbuild plugins/],
  ["install commands", { runtime: "python3.9", bundle: { installCommands: ["x"] } }, /installCommands/],
];
for (const [what, props, reason] of KEPT) {
  test(`a function with ${what} keeps SST's builder, named once`, async (t) => {
    const self = await app(t, [construct("Kept", props)]);
    const run = await self.sst(["build"]);
    await run.next();
    const { bundled } = await run.next();
    assert.deepEqual(bundled.Kept, { directory: "/sst/Kept", handler: "src/list.handler" });
    assert.equal(await run.ended(), 0);
    const named = run.text.match(/^lambdad: SST builds Kept .*$/gm);
    assert.equal(named.length, 1);
    assert.match(named[0], reason);
    assert.deepEqual(self.commands, [["--version"]]);
  });
}

test("a function of SST's own stays SST's, without a word", async (t) => {
  const srcPath = "../node_modules/@serverless-stack/core/dist/rds";
  const self = await app(t, [construct("Own", { srcPath })]);
  const run = await self.sst(["build"]);
  assert.equal(await run.ended(), 0);
  assert.doesNotMatch(run.text, /Own/);
});

test("a job keeps SST's builder, named once, beside functions that are lambdad's", async (t) => {
  const job = construct("Job", { handler: "src/job.main" }, { functionArn: undefined });
  const self = await app(t, [construct("F"), job]);
  answering(self, answer([built("F")]));
  const run = await self.sst(["build"]);
  await run.next();
  const { bundled } = await run.next();
  assert.deepEqual(bundled.Job, { directory: "/sst/Job", handler: "src/job.main" });
  assert.equal(bundled.F.handler, "list.handler");
  assert.equal(await run.ended(), 0);
  assert.equal(run.text.match(/SST builds Job \(src\/job\.main\): it is a job/g).length, 1);
});

test("at the end of its input SST's question for a stage is no build: it ends with 1", async (t) => {
  for (const command of ["build", "deploy", "start"]) {
    const self = await app(t);
    writeFileSync(join(self.folder, "asks-for-stage"), "");
    const run = await self.sst([command]);
    run.child.stdin.end();
    assert.equal(await run.ended(), 1);
    assert.match(run.errors, /SST ended before it built anything.*--stage NAME/);
  }
});

test("a build that fails ends the command with the diagnostics alone, of all functions", async (t) => {
  const self = await app(t, [construct("F"), construct("G"), construct("H")]);
  const where = { file: "services/src/list.ts", line: 3, column: 9 };
  const fault = { code: "syntax-error", severity: "error", message: "broken", where, hint: "mend it" };
  const other = { code: "outside", severity: "error", message: "not here" };
  const functions = [
    { name: "F", status: "failed", diagnostics: [fault] },
    { name: "G", status: "refused", diagnostics: [other] },
    built("H"),
  ];
  answering(self, answer(functions), 1);
  const run = await self.sst(["build"]);
  assert.equal(await run.ended(), 1);
  assert.equal(
    run.errors,
    "lambdad: F: failed\nservices/src/list.ts:3:9: error[syntax-error] broken\n  hint: mend it\n" +
      "lambdad: G: refused\nerror[outside] not here\n",
  );
});

test("a fault of the whole project or of the command is shown as it is", async (t) => {
  const self = await app(t);
  const fault = { code: "bad-value", severity: "error", message: "no list" };
  answering(self, answer([], { ok: false, diagnostics: [fault] }), 1);
  const run = await self.sst(["build"]);
  assert.equal(await run.ended(), 1);
  assert.equal(run.errors, "error[bad-value] no list\nlambdad: F: not built\n");
  self.command = (args) => args[0] === "build" && { code: 2, stderr: "error[store] the disk is full\n" };
  const next = await self.sst(["build"]);
  assert.equal(await next.ended(), 1);
  assert.equal(next.errors, "lambdad: nothing is built: error[store] the disk is full\n");
});

test("a warning is shown once, with its functions", async (t) => {
  const self = await app(t, [construct("F"), construct("G")]);
  const warnings = (line) => [
    { code: "big", severity: "warning", message: `it is ${line} MB` },
    { code: "old", severity: "warning", message: "it is old", where: { file: ".sst/functions.jsonl", line } },
  ];
  answering(self, answer([built("F", { diagnostics: warnings(1) }), built("G", { diagnostics: warnings(2) })]));
  const run = await self.sst(["build"]);
  assert.equal(await run.ended(), 0);
  const shown = run.text.split("\n").filter((line) => line.includes("warning"));
  assert.deepEqual(shown, [
    "F: warning[big] it is 1 MB",
    "F, G: warning[old] it is old",
    "G: warning[big] it is 2 MB",
  ]);
});

test("sst start bundles only functions without live development", async (t) => {
  const self = await app(t, [construct("Live"), construct("Deployed", { enableLiveDev: false })]);
  answering(self, answer([built("Deployed")]));
  const run = await self.sst(["start"]);
  await run.next();
  assert.deepEqual(Object.keys((await run.next()).bundled), ["Deployed"]);
  assert.ok((await run.next()).ready); // from now on it writes nothing into the folder
  assert.deepEqual(self.commands.find(([verb]) => verb === "build").slice(5), ["Deployed"]);
});
