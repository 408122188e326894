/** A process that has loaded a function, or is about to: started ahead, it waits for its task. */

import { spawn } from "node:child_process";

/** So long may a worker that was asked to end go on. */
const PATIENCE_MS = 2000;

/** Those of this process. They end with it, whatever ends it but SIGKILL: then their pipes break. */
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/**
 * Starts the process. It boots, and loads nothing of the user's before `begin`. `heard(stream, data)`
 * hears what it prints; `gone(how)` is called once, with "exit status 7" or the like.
 */
export function startProcess({ program, args, env, cwd }, { heard, gone }) {
  const child = spawn(program, args, { cwd, env, stdio: ["pipe", "pipe", "pipe"] });
  let ended;
  running.add(child);
  const end = (how) => {
    if (ended !== undefined) return;
    ended = how;
    running.delete(child);
    self.gone(how);
  };
  const self = {
    heard,
    gone,
    pid: child.pid,
    get isGone() {
      return ended !== undefined;
    },
    /** Gives it its task, as JSON; there is one. */
    begin(task) {
      child.stdin.end(JSON.stringify(task));
    },
    end() {
      if (!child.kill()) return;
      setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS).unref();
    },
  };
  child.stdin.on("error", () => {}); // it ended before it had its task: `gone` says so
  for (const stream of ["stdout", "stderr"]) {
    child[stream].setEncoding("utf8").on("data", (data) => self.heard(stream, data));
  }
  child.on("error", (fault) => end(`${program}: ${fault.message}`));
  // Not "exit": what it printed last is to be heard first. Its own children may hold the pipes.
  child.on("exit", (code, signal) => {
    const how = signal ? `signal: ${signal}` : `exit status ${code}`;
    const late = setTimeout(() => end(how), 100);
    child.on("close", () => {
      clearTimeout(late);
      end(how);
    });
  });
  return self;
}
