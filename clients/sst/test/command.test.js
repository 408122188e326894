/** What `lambdad-sst` does before SST runs: usage, versions, NODE_OPTIONS, loopback. */

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { loopback } from "../lib/loopback.js";
import { attached, detached } from "../lib/nodeoptions.js";
import { isStrictByDefault } from "../lib/main.js";
import { obstacle, sstOf } from "../lib/project.js";
import { app } from "./fake.js";

for (const [args, code] of [[[], 2], [["remove"], 2], [["--help"], 0]]) {
  test(`${["lambdad-sst", ...args].join(" ")} shows how it is used, and ends with ${code}`, async (t) => {
    const run = await (await app(t)).sst(args);
    assert.equal(await run.ended(), code);
    assert.match(run.printed(), /^usage: lambdad-sst .*start\|build\|deploy/);
  });
}

test("outside of an SST app it says so", async (t) => {
  const self = await app(t);
  const run = await self.sst(["start"], { cwd: tmpdir() });
  assert.equal(await run.ended(), 2);
  assert.match(run.errors, /no SST is installed here/);
});

const VERSIONS = {
  "0.69.7": false, "1.14.4": false, "1.15.16": true, "1.16.3": true, "1.17.1": true, "1.18.4": true,
  "1.19.0": false, "2.48.5": false, "3.0.1": false,
};
for (const [version, attaches] of Object.entries(VERSIONS)) {
  test(`SST ${version}: lambdad ${attaches ? "attaches" : "leaves it alone and says so"}`, () => {
    assert.equal(obstacle({ version }, { node: "20.6.0" }) === undefined, attaches);
  });
}

const NODES = { "16.20.2": false, "18.18.2": false, "18.19.0": true, "20.5.0": false, "20.6.0": true, "22.0.0": true };
for (const [node, attaches] of Object.entries(NODES)) {
  test(`Node.js ${node}: lambdad ${attaches ? "attaches" : "leaves SST alone and says so"}`, () => {
    assert.equal(obstacle({ version: "1.18.4" }, { node }) === undefined, attaches);
  });
}

test("an app's SST is found from a folder above, and SST 2's package, too", (t) => {
  const top = mkdtempSync(join(tmpdir(), "lambdad-"));
  t.after(() => rmSync(top, { recursive: true }));
  const write = (name, document) => {
    mkdirSync(join(top, "node_modules", name), { recursive: true });
    writeFileSync(join(top, "node_modules", name, "package.json"), JSON.stringify(document));
  };
  const below = join(top, "packages", "app");
  assert.equal(sstOf(below), undefined);
  write("sst", { version: "2.48.5", bin: { sst: "sst.mjs" } });
  const two = { name: "sst", version: "2.48.5", command: join(top, "node_modules/sst/sst.mjs") };
  assert.deepEqual(sstOf(below), two);
  write("@serverless-stack/cli", { version: "1.18.4", bin: { sst: "bin/scripts.mjs" } });
  assert.equal(sstOf(below).version, "1.18.4");
});

test("SST 2 runs as it is, and one line says why", async (t) => {
  const self = await app(t);
  const place = join(self.folder, "node_modules");
  rmSync(join(place, "@serverless-stack"), { recursive: true });
  mkdirSync(join(place, "sst"));
  const manifest = { version: "2.48.5", bin: { sst: "sst.js" } };
  writeFileSync(join(place, "sst", "package.json"), JSON.stringify(manifest));
  const source = "#!/usr/bin/env node\nconsole.log(JSON.stringify(process.argv.slice(2)));process.exit(3);";
  writeFileSync(join(place, "sst", "sst.js"), source, { mode: 0o755 });
  const run = await self.sst(["deploy", "--stage", "prod"]);
  assert.equal(await run.ended(), 3);
  assert.match(run.text, /\["deploy","--stage","prod"\]/);
  assert.match(run.errors, /SST 2\.48\.5 is not one of 1\.15 to 1\.18; SST builds the functions itself/);
});

const STRICT = [
  [{}, false], [{ CI: "" }, false], [{ CI: "true" }, true], [{ CI: "1" }, true], [{ CI: "false" }, false],
  [{ LAMBDAD_SST_STRICT: "1" }, true], [{ LAMBDAD_SST_STRICT: "0", CI: "true" }, false],
];
for (const [env, expected] of STRICT) {
  test(`${JSON.stringify(env)} ${expected ? "is" : "is not"} strict`, () => {
    assert.equal(isStrictByDefault(env), expected);
  });
}

const WITHOUT = { LAMBDAD: "/nothing/here" };
const STRICTNESS = [
  [["build"], WITHOUT, 0],
  [["build"], { ...WITHOUT, CI: "true" }, 1],
  [["--no-strict", "build"], { ...WITHOUT, CI: "true" }, 0],
  [["--strict", "build"], WITHOUT, 1],
];
for (const [args, env, code] of STRICTNESS) {
  const ending = code ? "nothing is built, and it says why" : "SST builds alone, and it says why";
  test(`without the lambdad command: ${JSON.stringify(env)} ${args.join(" ")}: ${ending}`, async (t) => {
    const run = await (await app(t)).sst(args, { env });
    const first = await run.next();
    assert.equal(await run.ended(), code);
    assert.deepEqual(first?.argv, code ? undefined : ["build"]);
    assert.match(run.errors, /nothing\/here can't be run \(ENOENT\): install lambdad/);
    assert.match(run.errors, code ? /with --no-strict SST would/ : /SST builds the functions itself/);
  });
}

test("LAMBDAD names the command: a folder, or another program, is refused by name", async (t) => {
  const self = await app(t);
  for (const [place, message] of [
    [self.folder, /is a folder: LAMBDAD must name the lambdad command itself/],
    [process.execPath, /is not the lambdad command: --version printed "v\d+/],
  ]) {
    const run = await self.sst(["--strict", "build"], { env: { LAMBDAD: place } });
    assert.equal(await run.ended(), 1);
    assert.match(run.errors, message);
  }
});

for (const options of [undefined, "", "--require ./x.cjs", "--import ./a.mjs  --inspect"]) {
  test(`NODE_OPTIONS ${options ?? "unset"} is the user's again after ours was beside it`, () => {
    const env = options === undefined ? { A: "1" } : { A: "1", NODE_OPTIONS: options };
    const both = attached(env);
    assert.ok(both.NODE_OPTIONS.startsWith(options ?? ""));
    assert.match(both.NODE_OPTIONS, /--import=file:.*register\.js$/);
    assert.deepEqual(detached(both), options ? env : { A: "1" });
    const mixed = { ...both, NODE_OPTIONS: `${both.NODE_OPTIONS} --max-old-space-size=99` };
    const last = [options, "--max-old-space-size=99"].filter(Boolean).join(" ");
    assert.equal(detached(mixed).NODE_OPTIONS, last);
  });
}

const LISTENS = [
  [[3000], [3000, "127.0.0.1"]],
  [["3000"], ["3000", "127.0.0.1"]],
  [[3000, "0.0.0.0"], [3000, "0.0.0.0"]],
  [["/tmp/socket"], ["/tmp/socket"]],
  [[{ port: 1 }], [{ port: 1, host: "127.0.0.1" }]],
  [[{ port: 1, host: "::" }], [{ port: 1, host: "::" }]],
  [[{ path: "/tmp/socket" }], [{ path: "/tmp/socket" }]],
  [[], []],
];
for (const [given, expected] of LISTENS) {
  test(`listen(${JSON.stringify(given).slice(1, -1)}) is on loopback unless it names a host`, () => {
    assert.deepEqual(loopback(given), expected);
  });
}
