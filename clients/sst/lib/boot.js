/** How a function's worker is started: the program, what is fixed at its start, and its task. */

import { createHash } from "node:crypto";
import { accessSync, constants } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { detached } from "./nodeoptions.js";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Variables that a process reads as it starts; all others can be given to it later. */
const AT_START =
  /^(NODE_|LD_|DYLD_|PYTHON|LC_|UV_|SSL_|OPENSSL_|MALLOC_|GLIBC_)|^(LANG|LANGUAGE|HOME)$/;

/** Options that load code of the user's before ours, which may look at any variable. */
const PRELOADS = /(^|\s)(--require|-r|--import|--loader|--experimental-loader)\b/;

/** What differs from event to event, and for AWS's own use. */
const OF_AN_EVENT = "_X_AMZN_TRACE_ID";

/** The variables of a worker, as SST gives them, with the user's NODE_OPTIONS alone. */
export function environOf(env, context, runtime, system = process.env) {
  const own = runtime.startsWith("python")
    ? // Bytecode of a source that was saved twice in a second can be the older one's.
      { PATH: searchPathOf(system), PYTHONUNBUFFERED: "1", PYTHONDONTWRITEBYTECODE: "1" }
    : { AWS_LAMBDA_NODEJS_USE_ALTERNATIVE_CLIENT_1: "true" };
  return detached({
    ...env,
    ...own,
    AWS_LAMBDA_FUNCTION_NAME: context.functionName,
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(context.memoryLimitInMB),
    AWS_XRAY_LOG_LEVEL: "silent",
    AWS_XRAY_CONTEXT_MISSING: "LOG_ERROR",
    IS_LOCAL: "true",
  });
}

/** A worker serves events whose key it has: the same code, with the same variables. */
export function keyOf({ digest, interpreter = null }, environ) {
  return hash([digest, interpreter, ...pairsOf(environ)]);
}

/** The process to start for a function: `ric` is the module of SST's runtime client. */
export function bootOf({ runtime, live }, environ, { root, ric, isThere = isExecutable }) {
  const start = { cwd: root, env: environ };
  return runtime.startsWith("python")
    ? { ...start, program: pythonOf(runtime, live, environ, isThere), args: [here("worker.py")] }
    : { ...start, program: process.execPath, args: [here("worker-node.js"), ric] };
}

/** Equal for processes that can take each other's place until they have a task. */
export function bootKeyOf({ program, args, cwd, env }) {
  const all = PRELOADS.test(env.NODE_OPTIONS ?? "");
  return hash([program, ...args, cwd, ...pairsOf(env).filter(([name]) => all || AT_START.test(name))]);
}

/** What a worker that has booted needs to become this function's. */
export function taskOf({ handler, live }, environ, { root, api }) {
  const path = (live.path ?? []).map((one) => resolve(root, one));
  const env = { ...environ, AWS_LAMBDA_RUNTIME_API: api, _HANDLER: handler };
  return { handler, entry: resolve(root, live.entry), path, env };
}

/**
 * The Python that runs the function: that of the active virtual environment if it is of the
 * runtime's version, since it has what the user installed there; else the one that lambdad names.
 */
function pythonOf(runtime, live, environ, isThere) {
  const active = environ.VIRTUAL_ENV && join(environ.VIRTUAL_ENV, "bin", runtime);
  return active && isThere(active) ? active : (live.interpreter ?? runtime);
}

function searchPathOf({ VIRTUAL_ENV, PATH }) {
  return VIRTUAL_ENV ? [join(VIRTUAL_ENV, "bin"), PATH].filter(Boolean).join(delimiter) : PATH;
}

function pairsOf(environ) {
  return Object.entries(environ)
    .filter(([name, value]) => name !== OF_AN_EVENT && value !== undefined)
    .sort(([one], [other]) => (one < other ? -1 : 1));
}

function hash(parts) {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
