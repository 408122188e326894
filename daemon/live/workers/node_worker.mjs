/**
 * A Node.js worker: a program of its own, which runs a function's handler as Lambda's runtime does.
 *
 * It boots, asks for what to load, loads it (node_loader.mjs), and runs one request after the other.
 */

import { Agent, request as httpRequest } from "node:http";
import inspector from "node:inspector";
import { createServer, Socket } from "node:net";
import { Writable } from "node:stream";
import { format } from "node:util";

import { load, RuntimeFault } from "./node_loader.mjs";

const PREFIX = "/2018-06-01/runtime";
const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response";

/** Where our own frames lie. */
const HERE = import.meta.url.slice(0, import.meta.url.lastIndexOf("/") + 1);

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const token = process.env._LAMBDAD_TOKEN;
delete process.env._LAMBDAD_TOKEN;
if (process.env._LAMBDAD_LIFE !== undefined) {
  // Where no signal does it, the end of a pipe says that `start` is gone.
  const life = new Socket({ fd: Number(process.env._LAMBDAD_LIFE), readable: true });
  delete process.env._LAMBDAD_LIFE;
  life.on("close", () => process.exit(1)).resume().unref();
}
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

/** What runs now: its id for log lines, and the way to end it with an error. */
const running = { requestId: undefined, fail: undefined };

// --- the Runtime API -----------------------------------------------------------------------------

function begin(method, path, headers, answered) {
  const given = token === undefined ? headers : { ...headers, "Lambdad-Token": token };
  return httpRequest({ host, port, method, path: PREFIX + path, headers: given, agent }, answered);
}

/** Status, headers and body; without an answer `start` is gone, and so are we. */
function call(method, path, body, headers = {}) {
  return new Promise((resolve) => {
    const length = body === undefined ? {} : { "Content-Length": Buffer.byteLength(body) };
    const asked = begin(method, path, { ...headers, ...length }, (response) => {
      const pieces = [];
      response.on("data", (piece) => pieces.push(piece));
      response.on("end", () =>
        resolve({ headers: response.headers, body: Buffer.concat(pieces).toString() }),
      );
      response.on("error", gone);
    });
    asked.on("error", gone);
    asked.end(body);
  });
}

function gone() {
  process.exit(0);
}

function postError(path, error) {
  const kind = String(error.errorType).replace(/[^\x20-\x7e]/g, "");
  return call("POST", path, JSON.stringify(error), {
    "Content-Type": "application/json",
    "Lambda-Runtime-Function-Error-Type": kind,
  });
}

// --- errors --------------------------------------------------------------------------------------

function isError(value) {
  return value instanceof Error || Object.prototype.toString.call(value) === "[object Error]";
}

/** AWS's error object. */
function described(value) {
  try {
    if (isError(value)) {
      return {
        errorType: value.name?.replaceAll("\x7f", "%7F") ?? "Error",
        errorMessage: value.message?.replaceAll("\x7f", "%7F") ?? "",
        trace: traceOf(value),
      };
    }
    return { errorType: typeof value, errorMessage: String(value), trace: [] };
  } catch {
    const errorMessage = "the handler failed with a value that can't be read";
    return { errorType: "handled", errorMessage, trace: [] };
  }
}

/** Its stack without our own frames. */
function traceOf(error) {
  const lines = error.stack?.replaceAll("\x7f", "%7F").split("\n") ?? [];
  return lines.filter((line, at) => at === 0 || !line.includes(HERE));
}

/** The same as log lines have it: the error's own fields, too. */
function forLog(value) {
  if (!isError(value)) return JSON.stringify(described(value));
  const { errorType, errorMessage, trace } = described(value);
  const fields = { errorType, errorMessage };
  for (const name of Object.getOwnPropertyNames(value)) {
    if (!["message", "stack", "name"].includes(name)) fields[name] = value[name];
  }
  if (value.code !== undefined) fields.code = value.code;
  fields.stack = trace;
  try {
    return JSON.stringify(fields);
  } catch {
    return JSON.stringify({ errorType, errorMessage, stack: trace });
  }
}

// --- logs ----------------------------------------------------------------------------------------

const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const isJson = process.env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === "JSON";
const least = LEVELS.indexOf(process.env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase() ?? "TRACE");

function log(level, message, ...rest) {
  if (isJson && LEVELS.indexOf(level) < least) return;
  const timestamp = new Date().toISOString();
  const { requestId } = running;
  if (!isJson) {
    const text = format(message, ...rest).replaceAll("\n", "\r");
    process.stdout.write(`${[timestamp, requestId, level, text].join("\t")}\n`);
    return;
  }
  const line = { timestamp, level, requestId };
  const fault = [message, ...rest].find(isError);
  if (fault) Object.assign(line, described(fault), { stackTrace: described(fault).trace });
  delete line.trace;
  line.message = rest.length === 0 && !isError(message) ? message : format(message, ...rest);
  try {
    process.stdout.write(`${JSON.stringify(line)}\n`);
  } catch {
    process.stdout.write(`${JSON.stringify({ ...line, message: format(message, ...rest) })}\n`);
  }
}

function patchConsole() {
  const levels = { trace: "TRACE", debug: "DEBUG", log: "INFO", info: "INFO", warn: "WARN" };
  for (const [name, level] of Object.entries({ ...levels, error: "ERROR", fatal: "FATAL" })) {
    console[name] = (message, ...rest) => log(level, message, ...rest);
  }
}

// --- streamed answers ----------------------------------------------------------------------------

function provideAwslambda() {
  const known = globalThis.awslambda ?? {};
  globalThis.awslambda = {
    ...known,
    streamifyResponse(handler, options) {
      handler[STREAMING] = "response";
      if (options?.highWaterMark !== undefined) {
        handler[Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark")] =
          Number.parseInt(options.highWaterMark, 10);
      }
      return handler;
    },
    HttpResponseStream: {
      from(stream, prelude) {
        stream.setContentType(PRELUDE_TYPE);
        stream.write(JSON.stringify(prelude));
        stream.write(new Uint8Array(8));
        return stream;
      },
    },
  };
}

/** What a streaming handler writes to: the request to the Runtime API begins with its first byte. */
class ResponseStream extends Writable {
  #path;
  #contentType = "application/octet-stream";
  #asked;
  #fault;
  finished;

  constructor(requestId) {
    super();
    this.#path = `/invocation/${requestId}/response`;
    this.finished = new Promise((resolve) => (this.settled = resolve));
  }

  setContentType(contentType) {
    if (this.#asked) throw new RuntimeFault("InvalidStreamingOperation", "Cannot set content-type, too late.");
    this.#contentType = contentType;
  }

  #open() {
    if (this.#asked) return this.#asked;
    const headers = {
      "Content-Type": this.#contentType,
      "Lambda-Runtime-Function-Response-Mode": "streaming",
      "Transfer-Encoding": "chunked",
      Trailer: "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
    };
    this.#asked = begin("POST", this.#path, headers, (response) => {
      response.resume();
      response.on("end", this.settled);
    });
    this.#asked.on("error", gone);
    this.#asked.flushHeaders();
    return this.#asked;
  }

  get hasBegun() {
    return this.#asked !== undefined;
  }

  _write(piece, encoding, done) {
    const bytes = typeof piece === "string" ? Buffer.from(piece, encoding) : piece;
    this.#open().write(bytes, done);
  }

  _final(done) {
    const asked = this.#open();
    if (this.#fault) {
      const error = described(this.#fault);
      asked.addTrailers({
        "Lambda-Runtime-Function-Error-Type": String(error.errorType).replace(/[^\x20-\x7e]/g, ""),
        "Lambda-Runtime-Function-Error-Body": Buffer.from(JSON.stringify(error)).toString("base64"),
      });
    }
    asked.end();
    done();
  }

  /** Ends what has begun with an error. */
  fail(fault) {
    this.#fault = fault;
    this.end();
  }
}

// --- one request ---------------------------------------------------------------------------------

function contextOf(headers) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const parsed = (name) => (headers[name] ? JSON.parse(headers[name]) : undefined);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parsed("lambda-runtime-client-context"),
    identity: parsed("lambda-runtime-cognito-identity"),
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

/** Runs a handler that returns or calls back; resolves to the value, rejects with the error. */
function buffered(handler, event, context, callbacks) {
  return new Promise((resolve, reject) => {
    if (!callbacks) {
      resolve(handler(event, context));
      return;
    }
    const whenIdle = (value) => {
      process.removeAllListeners("beforeExit");
      process.once("beforeExit", () => setImmediate(() => resolve(value)));
    };
    const settle = (error, value) => {
      if (error !== undefined && error !== null) reject(error);
      else if (context.callbackWaitsForEmptyEventLoop) whenIdle(value);
      else resolve(value);
    };
    context.done = (error, value) => {
      context.callbackWaitsForEmptyEventLoop = false;
      settle(error, value);
    };
    context.succeed = (value) => context.done(null, value);
    context.fail = (error) => context.done(error ?? "handled");
    whenIdle(undefined); // one that never calls back answers null when nothing is left to do
    const returned = handler(event, context, settle);
    if (typeof returned?.then === "function") returned.then(resolve, reject);
  });
}

async function answer(handler, callbacks) {
  const { headers, body } = await call("GET", "/invocation/next");
  process.removeAllListeners("beforeExit");
  const requestId = headers["lambda-runtime-aws-request-id"];
  running.requestId = requestId;
  if (headers["lambda-runtime-trace-id"]) {
    process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
  } else {
    delete process.env._X_AMZN_TRACE_ID;
  }
  const failed = async (error) => {
    log("ERROR", "Invoke Error", raw(error));
    await postError(`/invocation/${requestId}/error`, described(error));
  };
  let event;
  let context;
  try {
    event = JSON.parse(body);
    context = contextOf(headers);
  } catch (error) {
    return failed(error);
  }
  if (handler[STREAMING]) return stream(handler, event, context, requestId, failed);
  let payload;
  try {
    payload = serialised(await buffered(handler, event, context, callbacks));
  } catch (error) {
    return failed(error);
  }
  await call("POST", `/invocation/${requestId}/response`, payload, {
    "Content-Type": "application/json",
  });
}

function serialised(value) {
  try {
    return JSON.stringify(value === undefined ? null : value) ?? "null";
  } catch {
    throw new RuntimeFault("Runtime.MarshalError", "Unable to stringify response body");
  }
}

async function stream(handler, event, context, requestId, failed) {
  const out = new ResponseStream(requestId);
  try {
    await handler(event, out, context);
    if (!out.writableEnded) out.end();
  } catch (error) {
    if (!out.hasBegun) return failed(error);
    log("ERROR", "Invoke Error", raw(error));
    if (out.writableEnded) return out.finished;
    out.fail(error);
  }
  await out.finished;
}

/** A log line's second part, as it is. */
function raw(error) {
  return isJson ? error : forLog(error);
}

// --- what no handler catches ---------------------------------------------------------------------

function watchFaults() {
  const end = (code) => async (error) => {
    log("ERROR", code === 128 ? "Unhandled Promise Rejection" : "Uncaught Exception", raw(error));
    const { requestId } = running;
    const path = requestId === undefined ? "/init/error" : `/invocation/${requestId}/error`;
    // The agent's one connection may be in use by the call that waits.
    agent.maxSockets = 8;
    await postError(path, described(error));
    process.exit(code);
  };
  process.on("uncaughtException", end(129));
  process.on("unhandledRejection", (reason, promise) => {
    const message = isError(reason) ? `${reason}` : String(reason);
    const fault = new RuntimeFault("Runtime.UnhandledPromiseRejection", message);
    if (isError(reason)) fault.stack = reason.stack;
    Object.assign(fault, { reason, promise });
    return end(128)(fault);
  });
}

// --- a debugger -----------------------------------------------------------------------------------

const RETRY_MS = 50;
/** So long the function is not loaded, so that a debugger sees it from its first line. */
const WAIT_MS = 1000;

/** Opens the inspector. The worker of the code before may still have the port: until it has ended,
 * it is tried again, in the end while the function runs. */
async function inspected(port) {
  const until = Date.now() + WAIT_MS;
  while (!(await opened(port))) {
    if (Date.now() > until) {
      setTimeout(() => inspected(port), RETRY_MS * 10).unref();
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** Whether it is open now. A port that is taken is looked at first, since Node.js would complain. */
function opened(port) {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.on("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () =>
      probe.close(() => {
        inspector.open(port, "127.0.0.1");
        resolve(inspector.url() !== undefined);
      }),
    );
  });
}

async function main() {
  const { body } = await call("GET", "/assignment");
  const assignment = JSON.parse(body);
  Object.assign(process.env, assignment.environ);
  process.chdir(assignment.root);
  patchConsole();
  provideAwslambda();
  watchFaults();
  if (assignment.inspect) await inspected(assignment.inspect);
  let handler;
  try {
    handler = await load(assignment.root, assignment.handler, assignment.rules);
  } catch (error) {
    log("ERROR", "Uncaught Exception", raw(error));
    await postError("/init/error", described(error));
    process.exit(129);
  }
  for (;;) await answer(handler, assignment.rules.callbacks);
}

main();
