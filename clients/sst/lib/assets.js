/** The zips of lambdad as the assets of an app that is built or deployed. */

import { resolve } from "node:path";

import { LambdadError } from "lambdad-client";

import { clientOf, linesOf, NotBuilt } from "./lambdad.js";
import { toBundle } from "./list.js";
import { isOurs } from "./which.js";

let answers; // a promise: the first function that needs its zip builds all

/**
 * What SST makes a function's code of: the zip under the name that never changes, and the handler
 * that fits it. The CDK hashes the zip's bytes, which are the same on every machine.
 * Throws NotBuilt with the diagnostics of all functions if any can't be built.
 */
export async function assetOf({ id, root }, lambda, build = buildAll) {
  answers ??= build(root);
  const { functions } = await answers;
  const { artifact, handler } = functions.find(({ name }) => name === id);
  return { asset: lambda.Code.fromAsset(resolve(root, artifact.immutable_path)), handler };
}

async function buildAll(root) {
  const names = toBundle().filter((one) => isOurs(one)).map(({ id }) => id);
  const document = await answerOf(root, names);
  for (const line of warningsOf(document)) console.log(line);
  const failed = failuresOf(names, document);
  if (failed.length) throw new NotBuilt(failed.join("\n"));
  const unchanged = document.functions.filter((one) => one.cached).length;
  console.log(`lambdad: ${names.length - unchanged} functions built, ${unchanged} unchanged`);
  return document;
}

async function answerOf(root, names) {
  try {
    return await clientOf(root).build(names);
  } catch (fault) {
    if (!(fault instanceof LambdadError)) throw fault;
    throw new NotBuilt(`lambdad: nothing is built: ${fault.message}`, { cause: fault });
  }
}

/** Each warning once, with the names of its functions: a runtime's end of life has many. */
function warningsOf({ functions }) {
  const named = new Map();
  for (const { name, diagnostics } of functions) {
    for (const item of diagnostics.filter(({ severity }) => severity !== "error")) {
      const text = linesOf({ ...item, where: isOfList(item) ? undefined : item.where }).join("\n");
      named.set(text, (named.get(text) ?? new Set()).add(name));
    }
  }
  return [...named].map(([text, names]) => `${[...names].join(", ")}: ${text}`);
}

/** Its place is a line of SST's list, which says nothing to people. */
function isOfList({ where }) {
  return where?.file?.startsWith(".sst/") ?? false;
}

/** What is wrong, as lines; none if each function has its zip. */
function failuresOf(names, { ok, diagnostics, functions }) {
  const isBuilt = (name) =>
    functions.some((one) => one.name === name && one.status === "built" && one.artifact);
  const missing = names.filter((name) => !isBuilt(name));
  if (!missing.length) return [];
  const ofProject = ok ? [] : diagnostics.filter(({ severity }) => severity === "error");
  const lines = ofProject.flatMap(linesOf);
  for (const name of missing) {
    const { status = "not built", diagnostics: own = [] } =
      functions.find((one) => one.name === name) ?? {};
    lines.push(`lambdad: ${name}: ${status === "built" ? "not built" : status}`);
    lines.push(...own.filter(({ severity }) => severity === "error").flatMap(linesOf));
  }
  return lines;
}
