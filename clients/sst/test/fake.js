/** An app with the stand-in for SST, before a fake lambdad: what clients/node's tests use. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { answer, send, world } from "../../node/test/fake.js";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

const RUN = `
import { readFileSync } from "node:fs";
import { App } from "@serverless-stack/resources";

const functions = JSON.parse(readFileSync("functions.json", "utf8"));
const local = process.argv[2] === "start";
const app = new App({ appPath: process.cwd(), local, functions });
await app.runDeferredBuilds();
console.log(JSON.stringify({ bundled: app.bundled, options: process.env.NODE_OPTIONS ?? "" }));
`;

/** The construct of a function, as far as it matters here. */
export const construct = (localId, props, more) => ({
  localId,
  functionArn: "arn",
  architecture: { name: "x86_64" },
  props: { handler: "src/list.handler", runtime: "nodejs16.x", srcPath: "services", ...props },
  ...more,
});

/** A folder with an app. `self.live(name, digest, source)` says what lambdad built of a function. */
export async function app(t, constructs = [construct("F")]) {
  const self = await world(t);
  const { folder } = self;
  const scope = join(folder, "node_modules", "@serverless-stack");
  for (const name of ["core", "resources", "cli", "aws-lambda-ric"]) {
    cpSync(here(`sst/${name}`), join(scope, name), { recursive: true });
  }
  cpSync(here("sst/aws-cdk-lib"), join(folder, "node_modules", "aws-cdk-lib"), { recursive: true });
  for (const name of [".build", ".sst", "services"]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "package.json"), "{}");
  writeFileSync(join(folder, ".build", "run.mjs"), RUN);
  self.declare = (functions) =>
    writeFileSync(join(folder, "functions.json"), JSON.stringify(functions));
  self.declare(constructs);

  const built = new Map();
  self.live = (name, digest, source, { extension = ".mjs", ...more } = {}) => {
    const entry = `${name}-${digest}${extension}`;
    writeFileSync(join(folder, entry), source);
    built.set(name, {
      name,
      status: "built",
      cached: false,
      reasons: [],
      duration_ms: 4.1,
      runtime: "nodejs16.x",
      handler: "src/list.handler",
      live: { entry, path: [], digest },
      diagnostics: [],
      ...more,
    });
  };
  self.reply = (_request, response, { functions }) =>
    send(response, answer(functions.map((name) => built.get(name))));

  /** Runs lambdad-sst: {lines: what it printed as JSON, ask, next, stop}. */
  self.sst = async (args, { env = {}, ...options } = {}) => {
    const child = spawn(process.execPath, [here("../bin/lambdad-sst.js"), ...args], {
      cwd: folder,
      env: { ...process.env, CI: "", LAMBDAD_SST_STRICT: "", LAMBDAD: self.program, ...env },
      stdio: ["pipe", "pipe", "pipe"],
      ...options,
    });
    const run = { child, text: "", errors: "" };
    const closed = once(child, "close");
    child.stderr.on("data", (data) => (run.errors += data));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    /** The next document that it prints; undefined at the end. */
    run.next = async () => {
      for (;;) {
        const { value, done } = await lines.next();
        if (done) return undefined;
        if (value.startsWith("{")) return JSON.parse(value);
        run.text += `${value}\n`;
      }
    };
    run.printed = () => run.text + run.errors;
    run.ask = (document) => child.stdin.write(`${JSON.stringify(document)}\n`);
    run.call = async (document) => {
      run.ask(document);
      return await run.next();
    };
    run.ended = async () => {
      while ((await run.next()) !== undefined);
      const [code, signal] = await closed;
      return signal ?? code;
    };
    t.after(async () => {
      child.kill("SIGKILL");
      await closed;
    });
    return run;
  };
  return self;
}

/** `lambdad-sst start` of an app, ready for events. */
export async function started(self, options) {
  const run = await self.sst(["start", "--stage", "dev"], options);
  run.first = await run.next();
  run.synth = await run.next();
  run.ready = await run.next();
  return run;
}
