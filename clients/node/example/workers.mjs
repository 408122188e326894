/** Processes that have loaded a function: JavaScript by runner.mjs, Python by runner.py. */

import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** A process that loads one digest. Retired, it ends once it has answered what it was asked. */
export function startWorker(project, { name, runtime, handler, live }) {
  const [program, script] = runtime.startsWith("python")
    ? [process.env.PYTHON ?? runtime, "runner.py"]
    : [process.execPath, "runner.mjs"];
  const runner = fileURLToPath(new URL(script, import.meta.url));
  const files = [live.entry, ...live.path].map((path) => resolve(project, path));
  const child = spawn(program, [runner, handler, ...files], {
    cwd: project,
    env: { ...process.env, AWS_LAMBDA_FUNCTION_NAME: name },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const waiting = new Map(); // number of the event -> who hears its answer
  const worker = { digest: live.digest, alive: true, run, retire };
  let [asked, retired] = [0, false];

  function end(errorMessage) {
    worker.alive = false;
    for (const answer of waiting.values())
      answer({ fault: { errorType: "WorkerGone", errorMessage } });
    waiting.clear();
  }
  child.on("error", (fault) => end(`${program}: ${fault.message}`));
  child.on("close", (code, signal) => end(`the worker ended with ${signal ?? code}`));
  child.on("message", ({ id, ...answer }) => {
    waiting.get(id)?.(answer);
    waiting.delete(id);
    leaveIfDone();
  });

  function run(event) {
    return new Promise((answer) => {
      asked += 1;
      waiting.set(asked, answer);
      child.send({ id: asked, event }, (fault) => fault && end(fault.message));
    });
  }
  function retire() {
    retired = true;
    leaveIfDone();
  }
  function leaveIfDone() {
    if (retired && waiting.size === 0 && child.connected) child.disconnect();
  }
  return worker;
}
