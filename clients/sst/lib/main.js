/** `lambdad-sst`: runs the app's own SST in this process, with lambdad in place of its builders. */

import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { register } from "node:module";
import { constants } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { clientOf } from "./lambdad.js";
import { keepToLoopback } from "./loopback.js";
import { attached } from "./nodeoptions.js";
import { obstacle, sstOf } from "./project.js";

const COMMANDS = ["start", "build", "deploy"];

const USAGE = `usage: lambdad-sst [--strict|--no-strict] start|build|deploy [OPTIONS OF SST]

Runs the command of this app's own SST, with lambdad building its Node.js and
Python functions. All options after the command are SST's.

  --strict     ends with 1 if lambdad can't build the functions of this app,
               instead of running SST alone; the default where CI is set
  --no-strict  runs SST alone then, also where CI is set

Environment: LAMBDAD (the lambdad command), LAMBDAD_SST_STRICT (1 or 0).
`;

const LAMBDAD = () => process.env.LAMBDAD ?? "lambdad";

/** Runs the command line. It returns while SST goes on. */
export async function main(all) {
  const strictOptions = { "--strict": true, "--no-strict": false };
  const isStrict = strictOptions[all[0]] ?? isStrictByDefault(process.env);
  const args = all[0] in strictOptions ? all.slice(1) : all;
  const [command] = args;
  if (!COMMANDS.includes(command)) return usage(args);
  const root = process.cwd();
  const sst = sstOf(root);
  if (sst === undefined) {
    console.error("lambdad-sst: no SST is installed here; run it in the folder of an SST app");
    process.exitCode = 2;
    return;
  }
  const lambdad = await lambdadVersion(root);
  const reason = obstacle(sst) ?? lambdad.reason;
  if (reason !== undefined && isStrict) {
    console.error(`lambdad-sst: ${reason}; with --no-strict SST would build the functions itself`);
    process.exitCode = 1;
    return;
  }
  if (reason === undefined) await attach(command, root, sst, lambdad.version);
  else console.error(`lambdad-sst: ${reason}; SST builds the functions itself`);
  await run(sst, args);
}

/** In CI a fallback would pass unseen, and deploy other bytes than a developer's machine builds. */
export function isStrictByDefault({ LAMBDAD_SST_STRICT, CI }) {
  const isOn = (value) => Boolean(value) && !["0", "false"].includes(value.toLowerCase());
  return LAMBDAD_SST_STRICT ? isOn(LAMBDAD_SST_STRICT) : isOn(CI);
}

function usage(args) {
  const asked = args.length === 1 && ["-h", "--help", "help"].includes(args[0]);
  (asked ? process.stdout : process.stderr).write(USAGE);
  process.exitCode = asked ? 0 : 2;
}

/** {version}, or {reason} if there is no such command. */
async function lambdadVersion(root) {
  try {
    return { version: await clientOf(root).version() };
  } catch (fault) {
    return { reason: fault.message };
  }
}

async function attach(command, root, sst, version) {
  const { version: own } = JSON.parse(
    readFileSync(new URL("../package.json", import.meta.url), "utf8"),
  );
  console.log(`lambdad ${version} builds the functions of SST ${sst.version} (lambdad-sst ${own})`);
  if (command === "start") await begin(root);
  process.env.NODE_OPTIONS = attached(process.env).NODE_OPTIONS;
  register("./hooks.js", import.meta.url);
}

/** What `sst start` needs beside: its end leaves no process, and its servers are on loopback. */
async function begin(root) {
  keepToLoopback();
  // SST reads Ctrl-C from a terminal itself, ignores SIGTERM, and would leave its workers on others.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => process.exit(128 + constants.signals[signal]));
  }
  const { running } = await clientOf(root).status().catch(() => ({ running: true }));
  if (running) return; // another program uses it, or it can't be looked at
  process.on("exit", () => {
    spawnSync(LAMBDAD(), ["daemon", "stop", "--project", root], { stdio: "ignore", timeout: 10_000 });
  });
}

async function run(sst, args) {
  if (sst.name === "@serverless-stack/cli") {
    failUnlessSynthesised();
    process.argv = [process.execPath, sst.command, ...args];
    await import(pathToFileURL(sst.command).href);
    return;
  }
  // Later ones are not written to be imported; version 3 is a program of its own.
  const child = spawn(sst.command, args, { stdio: "inherit" });
  child.on("error", (fault) => {
    console.error(`lambdad-sst: ${sst.command}: ${fault.message}`);
    process.exitCode = 2;
  });
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal];
  });
}

/**
 * SST asks for a stage if none is named. At the end of its input it waits for the answer with
 * nothing that keeps the process, which then ends with 0: CI would take that for a build.
 */
function failUnlessSynthesised() {
  // Node.js emits this only where the process ends for lack of work: not after process.exit().
  process.on("beforeExit", (code) => {
    if (code !== 0 || existsSync(join(".build", "cdk.out", "manifest.json"))) return;
    console.error(
      "\nlambdad-sst: SST ended before it built anything: it asked a question, and its input " +
        "was at its end. Name the stage with --stage NAME.",
    );
    process.exitCode = 1;
  });
}
