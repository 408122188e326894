/** A daemon and a `lambdad` command that tests script; the command is a real process. */

import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { connect } from "../index.js";

const COMMAND = fileURLToPath(new URL("fake-lambdad.js", import.meta.url));

export const BUILT = {
  name: "ListNotes",
  status: "built",
  cached: false,
  reasons: ["src/list.ts changed"],
  duration_ms: 4.1,
  runtime: "nodejs22.x",
  architecture: "arm64",
  handler: "list.handler",
  live: { entry: ".lambdad/live/ListNotes/d1/list.js", path: [], digest: "d1" },
  diagnostics: [],
};

export const answer = (functions, more) => ({
  schema: 1,
  ok: functions.every(({ status }) => status === "built" || status === "skipped"),
  diagnostics: [],
  functions,
  ...more,
});

export const problem = (status, code, detail, more) => ({ status, code, detail, ...more });

/** Sends a document, as a problem if it has a status that is a number. */
export function send(response, document) {
  const fault = typeof document.status === "number";
  response.writeHead(fault ? document.status : 200, {
    "content-type": fault ? "application/problem+json" : "application/json",
  });
  response.end(JSON.stringify(document));
}

/**
 * A project folder with a fake daemon and command; all is gone after the test.
 * `reply(request, response, body)` is the daemon. `commands` holds each command line that was run;
 * `command(args)` may answer one with {code, stdout, stderr} in place of the fake's own.
 */
export async function world(test, reply = (_request, response) => send(response, answer([BUILT]))) {
  const folder = mkdtempSync(join(tmpdir(), "lambdad-"));
  const socket = join(folder, "daemon.sock");
  const self = { folder, socket, reply, requests: [], commands: [], connections: 0, command: null };
  let server;

  self.run = async () => {
    if (server) return;
    server = http.createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      const body = text ? JSON.parse(text) : undefined;
      self.requests.push({ method: request.method, url: request.url, body });
      self.reply(request, response, body);
    });
    server.on("connection", () => (self.connections += 1));
    server.listen(socket);
    await once(server, "listening");
  };
  /** As kill -9: every connection breaks, and nobody listens. */
  self.kill = () => {
    server?.close();
    server?.closeAllConnections();
    server = undefined;
  };

  async function obey(args) {
    self.commands.push(args);
    const scripted = await self.command?.(args);
    if (scripted) return { code: 0, stdout: "", stderr: "", ...scripted };
    if (args[0] === "--version") return { code: 0, stdout: "lambdad, version 0.1.0\n" };
    const verb = args.slice(0, 2).join(" ");
    if (verb === "daemon start") await self.run();
    if (verb === "daemon stop") self.kill();
    if (verb === "daemon address") {
      return server ? { code: 0, stdout: `${socket}\n` } : { code: 1, stdout: "" };
    }
    return { code: 0, stdout: "" };
  }
  const control = net.createServer({ allowHalfOpen: true }, async (peer) => {
    const chunks = [];
    for await (const chunk of peer.iterator({ destroyOnReturn: false })) chunks.push(chunk);
    peer.end(JSON.stringify(await obey(JSON.parse(Buffer.concat(chunks).toString()))));
  });
  control.listen(join(folder, "control.sock"));
  await once(control, "listening");

  self.argv = [process.execPath, COMMAND, join(folder, "control.sock")];
  /** The same as one program, for what reads its name from LAMBDAD. */
  self.program = join(folder, "lambdad");
  const words = self.argv.map((word) => `'${word}'`).join(" ");
  writeFileSync(self.program, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
  self.client = connect({ project: folder, command: self.argv });
  test.after(() => {
    self.client.close();
    self.kill();
    control.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return self;
}

/** What was done by which commands, without the project's folder. */
export const verbs = (commands) => commands.map((args) => args.slice(0, 2).join(" "));

/** A promise and the function that keeps it. */
export function signalled() {
  let resolve;
  const promise = new Promise((keep) => (resolve = keep));
  return [promise, resolve];
}
