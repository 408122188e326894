/** The SST of an app: which package, which version, and whether lambdad can attach to it. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** SST 1's command, then SST 2's and later. */
const PACKAGES = ["@serverless-stack/cli", "sst"];

/** The parts that lambdad takes the place of are the same from 1.15 to the last 1.x. */
const ATTACHES = /^1\.(1[5-8])\./;

/** {name, version, command} of the SST that the app in `folder` has installed, or undefined. */
export function sstOf(folder) {
  const require = createRequire(join(folder, "package.json"));
  for (const name of PACKAGES) {
    const file = locate(require, name);
    if (file === undefined) continue;
    const { version, bin } = JSON.parse(readFileSync(file, "utf8"));
    const command = typeof bin === "string" ? bin : bin?.sst;
    if (command) return { name, version, command: join(dirname(file), command) };
  }
  return undefined;
}

/** As Node.js finds packages, whatever they export. */
function locate(require, name) {
  for (const folder of require.resolve.paths(name) ?? []) {
    const file = join(folder, name, "package.json");
    try {
      readFileSync(file);
      return file;
    } catch {
      // not in this one
    }
  }
  return undefined;
}

/** Why lambdad can't attach, for people to read; undefined if it can. */
export function obstacle({ version }, { node = process.versions.node } = {}) {
  if (!ATTACHES.test(version)) return `SST ${version} is not one of 1.15 to 1.18`;
  const [major, minor] = node.split(".").map(Number);
  if (major < 18 || (major === 18 && minor < 19) || (major === 20 && minor < 6)) {
    return `Node.js ${node} has no module hooks: 18.19, 20.6 or newer does`;
  }
  return undefined;
}
