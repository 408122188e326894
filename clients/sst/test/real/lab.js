/** A machine's own AWS, an app of SST 1 in it, and SST's commands, with lambdad or alone. */

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { chmod, cp, mkdir, writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const run = promisify(execFile);

const EMULATOR = "ministack==1.5.33";
const CDK = { "1.15": "2.39.1", "1.16": "2.39.1", "1.17": "2.50.0", "1.18": "2.50.0" };
const ALPHAS = ["apigatewayv2", "apigatewayv2-authorizers", "apigatewayv2-integrations", "appsync"];
const ACCOUNT = "aws://000000000000/us-east-1";

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `look` gives something; throws after `seconds`. */
export async function until(what, look, seconds = 120) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what} took more than ${seconds} s`);
    await sleep(50);
  }
}

/** The manifest of an app on that version of SST. */
function manifest(sst) {
  const cdk = CDK[sst.split(".").slice(0, 2).join(".")];
  const alphas = ALPHAS.map((name) => [`@aws-cdk/aws-${name}-alpha`, `${cdk}-alpha.0`]);
  return {
    name: "lab",
    version: "1.0.0",
    private: true,
    dependencies: {
      ...Object.fromEntries(alphas),
      "@serverless-stack/cli": sst,
      "@serverless-stack/resources": sst,
      "aws-cdk-lib": cdk,
      "aws-sdk": "^2.1693.0",
    },
  };
}

/** Fetches what is needed into `folder`, once: the emulator, and the sample with SST installed. */
export async function prepare(folder, sst, say) {
  const python = join(folder, "venv", "bin", "python");
  const app = join(folder, `app-${sst}`);
  await mkdir(folder, { recursive: true });
  const once = async (name, work) => {
    const done = join(folder, `.done-${name}`);
    if (await run("test", ["-e", done]).then(() => true, () => false)) return;
    say(`fetching ${name}`);
    await work();
    await writeFile(done, "");
  };
  await once(EMULATOR, async () => {
    await run(process.env.PYTHON ?? "python3", ["-m", "venv", join(folder, "venv")]);
    await run(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", EMULATOR]);
  });
  await once(`SST ${sst}`, async () => {
    await cp(here("app"), app, { recursive: true });
    await writeFile(join(app, "package.json"), JSON.stringify(manifest(sst)));
    const clients = ["../../../node", "../.."].map((path) => here(path).replace(/\/$/, ""));
    const npm = ["install", "--no-audit", "--no-fund", "--install-links", ...clients];
    await run("git", ["init", "--quiet"], { cwd: app });
    await run("npm", npm, { cwd: app, maxBuffer: 1 << 28 });
  });
  return { folder, python, app };
}

/** An app's own copy, for a run that edits it; the packages of this checkout as they are now. */
export async function copyOf(lab, name) {
  const app = join(lab.folder, name, "lab");
  await run("rm", ["-rf", join(lab.folder, name)]);
  await mkdir(join(lab.folder, name), { recursive: true });
  await cp(lab.app, app, { recursive: true, verbatimSymlinks: true });
  await cp(here("app"), app, { recursive: true });
  for (const [name, path] of [["lambdad-client", "../../../node"], ["lambdad-sst", "../.."]]) {
    const filter = (file) => !/[/\\]node_modules$/.test(file);
    await cp(here(path), join(app, "node_modules", name), { recursive: true, filter });
  }
  return app;
}

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** An emulator of AWS, bootstrapped for the CDK. `env` is for whatever is to reach it. */
export async function aws(lab, app) {
  const port = await freePort();
  const env = {
    ...process.env,
    EMULATOR: `${port}`,
    GATEWAY_PORT: `${port}`,
    LAB_APP: app,
    NODE_PATH: here("."),
    NODE_OPTIONS: `--require ${here("local.cjs")}`,
    SST_TELEMETRY_DISABLED: "1",
    JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION: "1",
    JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION: "1",
    AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE: "1",
    AWS_ACCESS_KEY_ID: "test",
    AWS_SECRET_ACCESS_KEY: "test",
    AWS_REGION: "us-east-1",
    NO_COLOR: "1",
  };
  const log = createWriteStream(join(app, "..", "emulator.log"));
  const child = spawn(lab.python, [here("emulator.py")], { cwd: join(app, ".."), env });
  child.stdout.pipe(log);
  child.stderr.pipe(log);
  const url = `http://127.0.0.1:${port}`;
  await until("the emulator's start", () =>
    fetch(`${url}/_ministack/health`).then(({ ok }) => ok, () => false),
  );
  const empty = join(app, "..", "empty");
  await mkdir(empty, { recursive: true });
  await run(join(app, "node_modules", ".bin", "cdk"), ["bootstrap", ACCOUNT], { cwd: empty, env });
  return {
    url,
    env,
    pid: child.pid,
    async stop() {
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}

/** Where lambdad keeps its things in the lab: nothing of the user's own is touched. */
export async function lambdadEnv(lab, command) {
  const runtime = join(lab.folder, "run");
  await mkdir(runtime, { recursive: true });
  await chmod(runtime, 0o700);
  return {
    LAMBDAD: command,
    LAMBDAD_CACHE_DIR: join(lab.folder, "cache"),
    XDG_RUNTIME_DIR: runtime,
  };
}

/** `sst start` of an app: its command is `sst` or `lambdad-sst`. */
export async function start(app, cloud, command, more = {}) {
  const env = { ...cloud.env, ...more };
  const child = spawn(join(app, "node_modules", ".bin", command), ["start", "--stage", "dev"], {
    cwd: app,
    env,
  });
  const session = { child, log: "", env };
  const log = createWriteStream(join(app, "..", `${command}.log`));
  for (const stream of [child.stdout, child.stderr]) {
    stream.pipe(log);
    stream.on("data", (data) => (session.log += data));
  }
  const ended = once(child, "exit");
  const isReady = () => {
    if (child.exitCode !== null) throw new Error(`sst start ended:\n${session.log.slice(-4000)}`);
    return session.log.includes("Debug session started");
  };
  try {
    await until("sst start", isReady, 400);
  } catch (fault) {
    child.kill("SIGKILL");
    throw fault;
  }
  const listed = await (await fetch(`${cloud.url}/2015-03-31/functions/`)).json();
  const names = listed.Functions.map(({ FunctionName }) => FunctionName);

  /** The answer of the deployed function, or {lost}, and the milliseconds it took. */
  session.invoke = async (name, event, patienceMs = 25_000) => {
    const deployed = names.find((one) => one.startsWith(`dev-lab-Lab-${name}`));
    const url = `${cloud.url}/2015-03-31/functions/${deployed}/invocations`;
    const began = performance.now();
    let answer;
    try {
      const signal = AbortSignal.timeout(patienceMs);
      const response = await fetch(url, { method: "POST", body: JSON.stringify(event), signal });
      answer = await response.json();
      if (/timed out/i.test(answer?.errorMessage ?? "")) answer = { lost: answer.errorMessage };
    } catch (fault) {
      answer = { lost: fault.name };
    }
    return { answer, ms: performance.now() - began };
  };
  session.type = (text) => child.stdin.write(text);
  session.end = async (signal) => {
    child.kill(signal);
    const late = setTimeout(() => child.kill("SIGKILL"), 15_000);
    const [code, by] = await ended;
    clearTimeout(late);
    return by ?? code;
  };
  return session;
}

/** Processes whose command line or folder is of the lab's, but those to be left out. */
export async function leftIn(folder, without) {
  const { stdout } = await run("ps", ["-A", "-o", "pid=,stat=,args="], { maxBuffer: 1 << 26 });
  return stdout
    .split("\n")
    .map((line) => line.trim().match(/^(\d+)\s+(\S+)\s+(.*)$/))
    .filter((found) => found && !found[2].startsWith("Z") && found[3].includes(folder))
    .filter(([, pid]) => !without.includes(Number(pid)))
    .map(([line]) => line);
}
