/** `lambdad-sst`: runs the app's own SST in this process, with lambdad in place of its builders. */

import { execFile, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { register } from "node:module";
import { constants } from "node:os";
import { pathToFileURL } from "node:url";

import { clientOf } from "./lambdad.js";
import { keepToLoopback } from "./loopback.js";
import { attached } from "./nodeoptions.js";
import { obstacle, sstOf } from "./project.js";

const COMMANDS = ["start", "build", "deploy"];

const USAGE = `usage: lambdad-sst start|build|deploy [OPTIONS OF SST]

Runs the command of this app's own SST, with lambdad building its Node.js and
Python functions. All options are SST's.
`;

const LAMBDAD = () => process.env.LAMBDAD ?? "lambdad";

/** Runs the command line. It returns while SST goes on. */
export async function main(args) {
  const [command] = args;
  if (!COMMANDS.includes(command)) return usage(args);
  const root = process.cwd();
  const sst = sstOf(root);
  if (sst === undefined) {
    console.error("lambdad-sst: no SST is installed here; run it in the folder of an SST app");
    process.exitCode = 2;
    return;
  }
  const lambdad = await lambdadVersion();
  const reason = obstacle(sst) ?? lambdad.reason;
  if (reason === undefined) await attach(command, root, sst, lambdad.version);
  else console.error(`lambdad-sst: ${reason}; SST builds the functions itself`);
  await run(sst, args);
}

function usage(args) {
  const asked = args.length === 1 && ["-h", "--help", "help"].includes(args[0]);
  (asked ? process.stdout : process.stderr).write(USAGE);
  process.exitCode = asked ? 0 : 2;
}

/** {version}, or {reason} if there is no such command. */
function lambdadVersion() {
  return new Promise((resolve) => {
    execFile(LAMBDAD(), ["--version"], { encoding: "utf8" }, (fault, stdout) => {
      const version = stdout?.trim().split(/\s+/).at(-1);
      if (!fault) resolve({ version });
      else resolve({ reason: `${LAMBDAD()} can't be run (${fault.code}): pip install lambdad` });
    });
  });
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

/** What `sst start` needs beside: its end leaves no process, and its servers are not the world's. */
async function begin(root) {
  keepToLoopback();
  // SST reads Ctrl-C from a terminal itself, ignores SIGTERM, and would leave its workers on others.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => process.exit(128 + constants.signals[signal]));
  }
  const { running } = await clientOf(root).status().catch(() => ({ running: true }));
  if (running) return; // it is somebody's, or can't be looked at
  process.on("exit", () => {
    spawnSync(LAMBDAD(), ["daemon", "stop", "--project", root], { stdio: "ignore", timeout: 10_000 });
  });
}

async function run(sst, args) {
  if (sst.name === "@serverless-stack/cli") {
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
