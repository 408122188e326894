/**
 * Loaded into every Node.js process below `lambdad-sst` by its NODE_OPTIONS. It attaches in those
 * that run SST's own code, the program that describes the stacks above all, and does nothing in
 * others: a site's build, a package manager.
 */

import { register } from "node:module";

if (/[/\\]\.build[/\\]run\.mjs$/.test(process.argv[1] ?? "")) {
  register("./hooks.js", import.meta.url);
}
