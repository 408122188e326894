/**
 * Finds a function's handler as Lambda's Node.js runtimes do.
 *
 * Sources: AWS Lambda Developer Guide, "Define Lambda function handler in Node.js", and the
 * behaviour of its runtime interface client.
 */

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/** An error of the runtime, with the type that AWS gives it. */
export class RuntimeFault extends Error {
  constructor(name, message) {
    super(message);
    this.name = name;
  }
}

/**
 * The handler function.
 *
 * `rules.callbacks`: whether the runtime's version takes handlers of three parameters.
 * `rules.extensionlessImport`: whether the path without an extension is imported first.
 */
export async function load(root, handler, rules) {
  const [folder, name] = split(handler);
  const [module, ...exported] = parse(name);
  const found = await loadModule(root, folder, module, rules);
  const value = exported[0]
    .split(".")
    .reduce((outer, key) => (outer === undefined || outer === null ? outer : outer[key]), found);
  if (value === undefined || value === null) {
    throw new RuntimeFault("Runtime.HandlerNotFound", `${handler} is undefined or not exported`);
  }
  if (typeof value !== "function") {
    throw new RuntimeFault("Runtime.HandlerNotFound", `${handler} is not a function`);
  }
  const isStreaming = value[Symbol.for("aws.lambda.runtime.handler.streaming")] !== undefined;
  if (!rules.callbacks && !isStreaming && value.length >= 3) {
    throw new RuntimeFault(
      "Runtime.CallbackHandlerDeprecated",
      "This runtime takes no handler with a callback: return a promise, or use an async function.",
    );
  }
  return value;
}

function split(handler) {
  if (handler.includes("..")) {
    const message = `'${handler}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`;
    throw new RuntimeFault("Runtime.MalformedHandlerName", message);
  }
  const at = handler.lastIndexOf("/") + 1;
  return [handler.slice(0, at), handler.slice(at)];
}

function parse(name) {
  const found = /^([^.]*)\.(.*)$/.exec(name);
  if (!found) throw new RuntimeFault("Runtime.MalformedHandlerName", "Bad handler");
  return [found[1], found[2]];
}

async function loadModule(root, folder, module, rules) {
  try {
    return await tried(root, folder, module, rules);
  } catch (error) {
    if (error instanceof SyntaxError) {
      const fault = new RuntimeFault("Runtime.UserCodeSyntaxError", String(error));
      fault.stack = error.stack;
      throw fault;
    }
    if (error?.code === "MODULE_NOT_FOUND" || error?.code === "ERR_MODULE_NOT_FOUND") {
      const fault = new RuntimeFault("Runtime.ImportModuleError", String(error));
      fault.stack = error.stack;
      throw fault;
    }
    throw error;
  }
}

async function tried(root, folder, module, rules) {
  const path = resolve(root, folder, module);
  const require = createRequire(`${resolve(root)}/`);
  const isModule = isEsm(path);
  if (existsSync(path)) {
    return isModule || rules.extensionlessImport ? import(pathToFileURL(path)) : require(path);
  }
  if (!isModule && existsSync(`${path}.js`)) return require(`${path}.js`);
  if (existsSync(`${path}.js`)) return import(pathToFileURL(`${path}.js`));
  if (existsSync(`${path}.mjs`)) return import(pathToFileURL(`${path}.mjs`));
  if (existsSync(`${path}.cjs`)) return require(`${path}.cjs`);
  return require(require.resolve(module, { paths: [root, resolve(root, folder)] }));
}

/** Whether the nearest package.json above says "type": "module", up to a node_modules. */
function isEsm(path) {
  let folder = dirname(path);
  while (!folder.endsWith("/node_modules")) {
    const file = `${folder}/package.json`;
    if (existsSync(file)) {
      try {
        return JSON.parse(readFileSync(file, "utf8")).type === "module";
      } catch {
        return false;
      }
    }
    const above = dirname(folder);
    if (above === folder) return false;
    folder = above;
  }
  return false;
}
