/** `lambdad-sst build` and `deploy`: real processes, with a stand-in for SST and a fake lambdad. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
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
    assert.match(run.text, /2 of 2 functions built, 1 unchanged/);
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

test("a build that fails ends the command with the diagnostics", async (t) => {
  const self = await app(t);
  const where = { file: "services/src/list.ts", line: 3, column: 9 };
  const fault = { code: "syntax-error", severity: "error", message: "broken", where, hint: "mend it" };
  answering(self, answer([{ name: "F", status: "failed", diagnostics: [fault] }]), 1);
  const run = await self.sst(["build"]);
  assert.equal(await run.ended(), 1);
  assert.match(run.errors, /F is failed\n.*list\.ts:3:9: error\[syntax-error\] broken\n\s+hint: mend it/);
});

test("warnings are shown", async (t) => {
  const self = await app(t);
  const diagnostics = [{ code: "big", severity: "warning", message: "it is big" }];
  answering(self, answer([built("F", { diagnostics })]));
  const run = await self.sst(["build"]);
  assert.equal(await run.ended(), 0);
  assert.match(run.text, /F: warning\[big\] it is big/);
});

test("sst start bundles only functions without live development", async (t) => {
  const self = await app(t, [construct("Live"), construct("Deployed", { enableLiveDev: false })]);
  answering(self, answer([built("Deployed")]));
  const run = await self.sst(["start"]);
  await run.next();
  assert.deepEqual(Object.keys((await run.next()).bundled), ["Deployed"]);
  assert.deepEqual(self.commands.find(([verb]) => verb === "build").slice(5), ["Deployed"]);
});
