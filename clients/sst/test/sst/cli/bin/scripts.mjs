/** Synthesises in a child, as SST; then `start` runs events: a JSON document a line, both ways. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createInterface as createQuestions } from "node:readline/promises";

import { Handler, Server, State } from "@serverless-stack/core";

const [command, ...options] = process.argv.slice(2);
const root = process.cwd();
const say = (document) => console.log(JSON.stringify(document));

async function synth() {
  const child = spawn(process.execPath, [".build/run.mjs", command], { stdio: "inherit" });
  const [code] = await once(child, "exit");
  if (code) process.exit(code);
  mkdirSync(".build/cdk.out", { recursive: true });
  writeFileSync(".build/cdk.out/manifest.json", "{}");
}

if (existsSync("asks-for-stage")) {
  await createQuestions({ input: process.stdin, output: process.stdout }).question("Stage? ");
}
say({ argv: [command, ...options], options: process.env.NODE_OPTIONS ?? "" });
await synth();
if (command === "start") {
  const server = new Server({ port: 0 });
  server.listen();
  await once(server.app, "listening");
  server.opts.port = server.app.address().port;
  process.on("SIGTERM", () => {}); // as SST's console server
  const functions = State.read(root);
  const watched = functions.flatMap((one) => Handler.instructions(one).watcher.include);
  say({ ready: server.app.address(), watched });
  for await (const line of createInterface({ input: process.stdin })) {
    const { synth: again, drain, invoke, env } = JSON.parse(line);
    if (again) await synth();
    const one = functions.find(({ id }) => id === (invoke ?? drain));
    if (drain) await server.drain(one);
    if (!invoke) continue;
    const { event = null, id = `${Math.random()}` } = JSON.parse(line);
    const context = { awsRequestId: id, functionName: invoke, invokedFunctionArn: "arn", memoryLimitInMB: 1024 };
    const payload = { event, context, deadline: Date.now() + 30_000 };
    const given = { ...process.env, ...env };
    void server.invoke({ function: { ...one, root }, env: given, payload }).then((result) => {
      say({ id, result, printed: server.printed.splice(0) });
    });
  }
}
