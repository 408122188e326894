#!/usr/bin/env node
/** Saves, asks and counts under the real SST 1: alone, and with lambdad. See README.md. */

import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";

import { aws, copyOf, lambdadEnv, leftIn, prepare, sleep, start, until } from "./lab.js";

const run = promisify(execFile);

const HELP = `node run.js [--sst 1.18.4] [--folder DIR] [--rounds 50] [--alone-rounds 20] [--only start|build]

LAMBDAD names the lambdad command. With --alone-rounds 0 SST does not run alone. What is fetched stays in DIR for the next run.
`;

const { values: options } = parseArgs({
  options: {
    sst: { type: "string", default: "1.18.4" },
    folder: { type: "string", default: join(tmpdir(), "lambdad-sst-lab") },
    rounds: { type: "string", default: "50" },
    "alone-rounds": { type: "string", default: "20" },
    only: { type: "string" },
    help: { type: "boolean", short: "h" },
  },
});
if (options.help) {
  process.stdout.write(HELP);
  process.exit();
}

const say = (line) => console.error(line);
const faults = [];
const check = (isRight, what) => {
  say(`${isRight ? "ok    " : "FAILED"} ${what}`);
  if (!isRight) faults.push(what);
};

// --- the same work for both ------------------------------------------------------------------

const source = (word, waitMs = 0) =>
  `export const handler = async (event) => {
  await new Promise((done) => setTimeout(done, ${waitMs}));
  return { body: "${word}", n: event.n };
};
`;

async function measure(app, session, rounds) {
  const file = join(app, "services", "functions", "saved.js");
  const save = (word, waitMs) => writeFile(file, source(word, waitMs));
  const ask = (n) => session.invoke("Saved", { n });
  await save("warm");
  await sleep(3000);
  await ask(0);

  const counts = { rounds, stale: 0, lost: 0 };
  const times = [];
  for (let n = 0; n < rounds; n += 1) {
    await save(`saved ${n}`);
    const { answer, ms } = await ask(n);
    if (answer.lost) counts.lost += 1;
    else if (answer.body !== `saved ${n}` || answer.n !== n) counts.stale += 1;
    else times.push(ms);
    await sleep(500);
  }
  times.sort((one, other) => one - other);

  const inFlight = { right: 0, lost: 0, other: 0 };
  for (let n = 0; n < 4; n += 1) {
    await save(`slow ${n}`, 2000);
    await sleep(1500);
    const asked = ask(n);
    await sleep(800);
    await save(`later ${n}`);
    const { answer } = await asked;
    inFlight[answer.body === `slow ${n}` ? "right" : answer.lost ? "lost" : "other"] += 1;
  }

  await save("many");
  await sleep(2000);
  const many = await Promise.all(Array.from({ length: 16 }, (_, n) => ask(n)));
  const right = many.filter(({ answer }, n) => answer.body === "many" && answer.n === n).length;
  const middle = times[Math.floor(times.length / 2)];
  return {
    ...counts,
    median_ms: middle === undefined ? null : Math.round(middle),
    in_flight: inFlight,
    sixteen_at_once: right,
  };
}

// --- what else can happen in a session -------------------------------------------------------

async function edits(app, session) {
  const at = (...path) => join(app, ...path);
  const body = async (name) => {
    const { answer } = await session.invoke(name, { n: 1 });
    return answer.errorMessage ?? answer.body ?? answer;
  };
  const is = async (name, expected, what) => {
    const found = await body(name);
    const isRight = expected instanceof RegExp ? expected.test(found) : found === expected;
    check(isRight, `${what}: ${JSON.stringify(found).slice(0, 200)}`);
  };

  await is("Typed", "shared one", "TypeScript answers");
  await writeFile(at("services", "shared.ts"), 'export const word: string = "saved";\n');
  await is("Typed", "saved one", "a shared module is saved");
  await writeFile(at("services", "pick", "package.json"), '{ "main": "two.js" }\n');
  await is("Typed", "saved two", "a package.json is edited");
  await writeFile(at("services", "shared.ts"), "export const word: string = ;\n");
  await is("Typed", /shared\.ts:1:\d+: error/, "a syntax error is the answer");
  await writeFile(at("services", "shared.ts"), 'export { word } from "./later";\n');
  await is("Typed", /later/, "a missing file is the answer");
  await writeFile(at("services", "later.ts"), 'export const word = "created";\n');
  await is("Typed", "created two", "the missing file is created");

  await is("Python", "first", "Python answers");
  for (const word of ["second", "third!"]) {
    await writeFile(at("python", "functions", "words.py"), `WORD = "${word}"\n`);
    await is("Python", word, "a module of Python's is saved");
  }
  await writeFile(at("python", "functions", "words.py"), 'WORD = "\n');
  await is("Python", /words\.py:1:\d+: error/, "a syntax error of Python's is the answer");
  await writeFile(at("python", "functions", "words.py"), 'WORD = "mended"\n');
  await is("Python", "mended", "it is mended");
}

async function stackChange(app, session) {
  const file = join(app, "services", "functions", "slow.js");
  const stacks = join(app, "stacks", "index.js");
  const ask = (n) => session.invoke("Slow", { n }, 60_000);
  const from = session.log.length;
  const since = () => session.log.slice(from);
  await writeFile(file, source("before", 6000));
  const asked = [1, 2, 3].map(ask);
  await sleep(1000);
  // Another function's settings: the emulator ends what runs of a function that is deployed anew.
  const text = await readFile(stacks, "utf8");
  const handler = 'handler: "functions/typed.handler"';
  const changed = text.replace(handler, `${handler}, environment: { CHANGED: "1" }`);
  await writeFile(stacks, changed);
  await until("the stacks' synthesis", () => /Press ENTER to redeploy/.test(since()), 300);
  await writeFile(file, source("between", 20_000));
  const during = ask(4);
  await sleep(1000);
  session.type("\n");
  await until("the deployment", () => /Deploying completed/.test(since()), 300);
  await writeFile(file, source("after"));
  const { answer } = await ask(5);
  check(answer.body === "after", `a request after a stack change: ${JSON.stringify(answer)}`);
  const bodies = (await Promise.all([...asked, during])).map((one) => one.answer.body);
  check(`${bodies}` === "before,before,before,between", `requests over a stack change: ${bodies}`);
}

async function daemonKilled(app, session) {
  const file = join(app, "services", "functions", "saved.js");
  const { stdout } = await run(session.env.LAMBDAD, ["daemon", "status", "--json", "--project", app], {
    env: session.env,
  });
  process.kill(JSON.parse(stdout).pid, "SIGKILL");
  const words = ["killed", "again"];
  for (const word of words) {
    await writeFile(file, source(word));
    const { answer } = await session.invoke("Saved", { n: 1 });
    check(answer.body === word, `a save after the daemon was killed: ${JSON.stringify(answer)}`);
  }
}

async function startSessions(lab, lambdad) {
  const results = {};
  const isAloneWanted = Number(options["alone-rounds"]) > 0;
  for (const command of isAloneWanted ? ["sst", "lambdad-sst"] : ["lambdad-sst"]) {
    const isOurs = command === "lambdad-sst";
    say(`\n${command} start, SST ${options.sst}`);
    const app = await copyOf(lab, command);
    const cloud = await aws(lab, app);
    try {
      const session = await start(app, cloud, command, isOurs ? lambdad : {});
      const rounds = Number(options[isOurs ? "rounds" : "alone-rounds"]);
      const found = await measure(app, session, rounds);
      results[command] = found;
      say(JSON.stringify(found));
      if (isOurs) {
        check(found.stale === 0 && found.lost === 0, `${rounds} saves: none stale, none lost`);
        check(found.in_flight.right === 4, "4 of 4 requests in flight end on their own code");
        check(found.sixteen_at_once === 16, "16 of 16 at once");
        await edits(app, session);
        await stackChange(app, session);
        await daemonKilled(app, session);
      }
      const before = await leftIn(app, [cloud.pid]);
      const how = await session.end(isOurs ? "SIGINT" : "SIGTERM");
      await sleep(1000);
      const left = (await leftIn(app, [cloud.pid])).filter((line) => !line.includes("ministack"));
      results[command].end = { how, left: left.length };
      if (isOurs) check(left.length === 0, `Ctrl-C left nothing of ${before.length}: ${left}`);
      for (const line of left) process.kill(Number(line.split(" ")[0]), "SIGKILL");
    } finally {
      await cloud.stop();
    }
  }
  return results;
}

// --- build ---------------------------------------------------------------------------------------

/** What the CDK will upload for each function: its asset's hash, by logical id. */
async function assetsOf(app) {
  const out = join(app, ".build", "cdk.out");
  const found = {};
  for (const name of await readdir(out)) {
    if (!name.endsWith(".template.json")) continue;
    const { Resources } = JSON.parse(await readFile(join(out, name), "utf8"));
    for (const [id, { Type, Properties }] of Object.entries(Resources)) {
      if (Type === "AWS::Lambda::Function" && /^(Saved|Slow|Typed|Python)/.test(id)) {
        found[id] = `${Properties.Code.S3Key} ${Properties.Handler} ${Properties.Runtime}`;
      }
    }
  }
  return found;
}

async function builds(lab, lambdad) {
  const results = {};
  for (const command of ["lambdad-sst", "sst"]) {
    const seen = [];
    for (const folder of ["build-one", "build-two"]) {
      const app = await copyOf(lab, `${command}-${folder}`);
      if (command === "sst") {
        // SST builds Python functions in Docker.
        const stacks = join(app, "stacks", "index.js");
        const text = await readFile(stacks, "utf8");
        await writeFile(stacks, text.replace(/.*"Python".*\n/, ""));
      }
      const cloud = await aws(lab, app);
      try {
        const bin = join(app, "node_modules", ".bin", command);
        const began = performance.now();
        const env = { ...cloud.env, ...lambdad };
        const options = { cwd: app, env, maxBuffer: 1 << 26 };
        const { stdout } = await run(bin, ["build", "--stage", "prod"], options);
        if (command === "lambdad-sst") {
          check(/SST builds prod-lab-Lab-Job .* it is a job/.test(stdout), "a job is built by SST");
        }
        say(`${command} build: ${Math.round(performance.now() - began)} ms`);
        seen.push(await assetsOf(app));
      } finally {
        await cloud.stop();
      }
    }
    const [one, two] = seen.map((assets) => JSON.stringify(assets));
    results[command] = { functions: Object.keys(seen[0]).length, same: one === two };
    if (command === "lambdad-sst") {
      check(one === two && Object.keys(seen[0]).length === 4, "assets are the same in two folders");
    }
  }
  return results;
}

await mkdir(options.folder, { recursive: true });
const lab = await prepare(options.folder, options.sst, say);
const lambdad = await lambdadEnv(lab, process.env.LAMBDAD ?? "lambdad");
const results = { sst: options.sst };
if (options.only !== "build") results.start = await startSessions(lab, lambdad);
if (options.only !== "start") results.build = await builds(lab, lambdad);
console.log(JSON.stringify(results, undefined, 2));
const { start: both } = results;
if (both?.sst?.median_ms) {
  const ratio = both["lambdad-sst"].median_ms / both.sst.median_ms;
  say(`\nfrom save to the right answer: ${ratio.toFixed(2)} of the time that SST alone takes`);
}
await rm(join(options.folder, "run"), { recursive: true, force: true });
if (faults.length) {
  say(`\n${faults.length} FAILED`);
  process.exitCode = 1;
}
