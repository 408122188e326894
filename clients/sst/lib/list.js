/**
 * The list of an app's functions, .sst/functions.jsonl, which lambdad reads.
 *
 * SST empties it and adds line by line while it synthesises, and only for `sst start`. Here it is
 * written at once when all functions are known, for every command, with what lambdad needs beyond
 * SST's own fields. A program that reads it meanwhile finds the list before, whole.
 */

import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { NotBuilt } from "./lambdad.js";

export const LIST = join(".sst", "functions.jsonl");

/** Adds to SST's App that it publishes the list before any function is bundled. */
export function listFunctionsOf(App) {
  const { runDeferredBuilds } = App.prototype;
  App.prototype.runDeferredBuilds = async function () {
    if (!this.skipBuild) {
      const functions = functionsOf(this);
      publish(this.appPath, functions.map(({ record }) => record));
      waiting = functions.filter(({ isStub }) => !isStub).map(({ record }) => record);
    }
    try {
      return await runDeferredBuilds.call(this);
    } catch (fault) {
      if (!(fault instanceof NotBuilt)) throw fault;
      // Thrown further, Node.js would show it amid a stack and lines of ours.
      console.error(fault.message);
      process.exit(1);
    }
  };
}

let waiting = [];

/** The functions that are about to be bundled for Lambda: not those that `sst start` runs here. */
export function toBundle() {
  return waiting;
}

/** Whether it is one of these: not a job, which is no function of Lambda's. */
export function isToBundle({ id }) {
  return waiting.some((one) => one.id === id);
}

/** Of each function in the tree of constructs what the list says of it, and whether its code on
 * Lambda is only the stub of `sst start`. */
export function functionsOf(app) {
  return app.node
    .findAll()
    .filter((one) => typeof one.localId === "string" && one.functionArn && one.props?.handler)
    .map((one) => ({
      record: recordOf(one, app.appPath),
      isStub: Boolean(app.local) && one.props.enableLiveDev !== false,
    }));
}

function recordOf({ localId, props, architecture }, root) {
  return {
    id: localId,
    handler: props.handler,
    runtime: props.runtime || "nodejs14.x", // what SST 1 gives a function that names none
    srcPath: props.srcPath || ".",
    bundle: props.bundle,
    root,
    architecture: architecture?.name,
    layers: props.layers?.length ? true : undefined,
  };
}

/** The list holds exactly these from now on. It is not touched if it does already. */
export function publish(root, records) {
  const text = records.map((one) => `${JSON.stringify(one)}\n`).join("");
  if (read(root) === text) return;
  const path = join(root, LIST);
  mkdirSync(dirname(path), { recursive: true });
  const beside = `${path}.${process.pid}`;
  writeFileSync(beside, text);
  renameSync(beside, path);
}

/**
 * The list holds this one, too: a stack change or another command took it out, and a function that
 * is deployed still calls it. Returns whether it had to be added.
 */
export function include(root, record) {
  const text = read(root);
  const lines = text.split("\n").filter(Boolean);
  if (lines.some((line) => idOf(line) === record.id)) return false;
  publish(root, [...lines.map((line) => JSON.parse(line)), record]);
  return true;
}

function idOf(line) {
  try {
    return JSON.parse(line).id;
  } catch {
    return undefined;
  }
}

function read(root) {
  try {
    return readFileSync(join(root, LIST), "utf8");
  } catch {
    return "";
  }
}
