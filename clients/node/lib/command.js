/** The `lambdad` command: it alone knows where a project's daemon is, and how to start one. */

import { execFile } from "node:child_process";
import { statSync } from "node:fs";

import { DaemonError } from "./faults.js";

const START_MS = 60_000;
const MOST_BYTES = 1 << 28;

/** The command as a list: a name, and arguments that go before ours. */
export function commandOf(given, env = process.env) {
  const command = given ?? env.LAMBDAD ?? "lambdad";
  return typeof command === "string" ? [command] : [...command];
}

/** What it printed and its exit code. Throws DaemonError if it can't be run, or is ended. */
export function run([program, ...first], args, { signal, timeout = START_MS, env } = {}) {
  const options = { signal, timeout, env, maxBuffer: MOST_BYTES, encoding: "utf8" };
  return new Promise((resolve, reject) => {
    execFile(program, [...first, ...args], options, (fault, stdout, stderr) => {
      if (!fault) resolve({ code: 0, stdout, stderr });
      else if (signal?.aborted) reject(signal.reason);
      else if (typeof fault.code === "number") resolve({ code: fault.code, stdout, stderr });
      else reject(new DaemonError(...explain(program, args, fault), { cause: fault }));
    });
  });
}

/** The version of the command. Throws DaemonError if it can't be run, or is another program. */
export async function versionOf(command, { signal, env }) {
  const { code, stdout, stderr } = await run(command, ["--version"], { signal, env });
  const [, version] = stdout.match(/^lambdad,? (?:version )?(\S+)/) ?? [];
  if (code === 0 && version) return version;
  const printed = (stdout.trim() || stderr.trim()).split("\n")[0];
  const message = `${command.join(" ")} is not the lambdad command: --version printed "${printed}"`;
  throw new DaemonError("no-command", message);
}

/** The socket of the project's daemon, or undefined if none runs. */
export async function locate(command, project, env) {
  const args = ["daemon", "address", "--project", project];
  const { code, stdout, stderr } = await run(command, args, { env });
  if (code === 0) return stdout.trim();
  if (code === 1) return undefined;
  throw new DaemonError("no-daemon", stderr.trim());
}

/**
 * The socket of the project's daemon, which is started unless one runs. One of another version is
 * replaced: that is why a daemon that runs is not taken as it is.
 */
export async function start(command, project, env) {
  const { code, stderr } = await run(command, ["daemon", "start", "--project", project], { env });
  const socket = code === 0 ? await locate(command, project, env) : undefined;
  if (socket === undefined) {
    throw new DaemonError("no-daemon", stderr.trim() || "the daemon left as soon as it was there");
  }
  return socket;
}

function explain(program, args, fault) {
  if (isFolder(program)) {
    return ["no-command", `${program} is a folder: LAMBDAD must name the lambdad command itself`];
  }
  if (fault.code === "ENOENT" || fault.code === "EACCES") {
    return [
      "no-command",
      `${program} can't be run (${fault.code}): install lambdad, or name its command in LAMBDAD`,
    ];
  }
  return ["no-daemon", `${program} ${args.join(" ")} was ended: ${fault.message}`];
}

function isFolder(path) {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
