/** The zips of lambdad as the assets of an app that is built or deployed. */

import { resolve } from "node:path";

import { clientOf, linesOf } from "./lambdad.js";
import { toBundle } from "./list.js";
import { isOurs } from "./which.js";

let answers; // a promise: the first function that is asked for builds all

/**
 * What SST makes a function's code of: the zip under the name that never changes, and the handler
 * that fits it. The CDK hashes the zip's bytes, which are the same on every machine.
 * Throws an Error with the diagnostics if it can't be built.
 */
export async function assetOf({ id, root }, lambda, build = buildAll) {
  answers ??= build(root);
  const document = await answers;
  const found = document.functions.find(({ name }) => name === id);
  const path = found?.status === "built" ? found.artifact?.immutable_path : undefined;
  if (path === undefined) throw new Error(faultOf(id, found, document));
  return { asset: lambda.Code.fromAsset(resolve(root, path)), handler: found.handler };
}

async function buildAll(root) {
  const names = toBundle().filter((one) => isOurs(one)).map(({ id }) => id);
  const document = await clientOf(root).build(names);
  for (const one of document.functions) {
    for (const item of one.diagnostics.filter(({ severity }) => severity !== "error")) {
      console.log(`${one.name}: ${linesOf(item).join("\n")}`);
    }
  }
  const built = document.functions.filter(({ status }) => status === "built");
  const cached = built.filter((one) => one.cached).length;
  console.log(`lambdad: ${built.length} of ${names.length} functions built, ${cached} unchanged`);
  return document;
}

function faultOf(id, found, document) {
  const faults = [...document.diagnostics, ...(found?.diagnostics ?? [])];
  const status = found === undefined || found.status === "built" ? "not built" : found.status;
  return [`lambdad: ${id} is ${status}`, ...faults.flatMap(linesOf)].join("\n");
}
