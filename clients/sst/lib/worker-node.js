/**
 * A worker for Node.js: worker-node.js RIC, with its task on stdin.
 *
 * SST's runtime client is loaded first, which takes longest; then it waits. With the task it becomes
 * the function's process, and the client runs the handler as under SST alone.
 */

import { readFileSync } from "node:fs";
import http from "node:http";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";

const { run } = await import(process.argv[2]);
const text = readFileSync(0, "utf8"); // blocks until there is a task, or no one left to give it
if (text === "") process.exit(0);

const task = JSON.parse(text);
for (const name of Object.keys(process.env)) if (!(name in task.env)) delete process.env[name];
Object.assign(process.env, task.env);
process.setSourceMapsEnabled(true);

let handler;
try {
  handler = await load(task);
} catch (fault) {
  await report(fault);
  process.exit(1);
}
await run(handler);

async function load({ entry, handler }) {
  const [, ...names] = basename(handler).split(".");
  const module = await import(pathToFileURL(entry).href);
  const found = dig(module, names) ?? dig(module.default, names);
  if (typeof found === "function") return found;
  const what = found === undefined ? "undefined or not exported" : "not a function";
  throw named("Runtime.HandlerNotFound", new Error(`${handler} is ${what}`));
}

function dig(from, names) {
  return names.reduce((value, name) => value?.[name], from);
}

function named(name, fault) {
  return Object.defineProperty(fault, "name", { value: name });
}

/** To the runtime API, as Lambda's own client reports what happens before the first event. */
function report(thrown) {
  const fault = thrown instanceof Error ? thrown : new Error(String(thrown));
  const errorType =
    fault instanceof SyntaxError
      ? "Runtime.UserCodeSyntaxError"
      : /^(ERR_)?MODULE_NOT_FOUND$/.test(fault.code ?? "")
        ? "Runtime.ImportModuleError"
        : fault.name;
  const trace = fault.stack?.split("\n") ?? [];
  const body = JSON.stringify({ errorType, errorMessage: fault.message, trace });
  const headers = { "content-type": "application/json" };
  const url = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/init/error`;
  return new Promise((resolve) => {
    const request = http.request(url, { method: "POST", headers }, (answer) => {
      answer.resume().on("end", resolve);
    });
    request.on("error", resolve).end(body);
  });
}
