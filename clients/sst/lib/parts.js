/**
 * The modules of SST that lambdad takes the place of or adds to: a table of files and sources.
 *
 * A source only connects: it imports what SST has, and hands it to a module of ours. So SST's files
 * stay as they are, on disk and in their own module graph.
 */

const ours = (name) => JSON.stringify(new URL(name, import.meta.url).href);

/** The query under which a module that is replaced is still what SST wrote. */
const ORIGINAL = "?sst";

const HANDLER = `
import * as sst from "./index.js${ORIGINAL}";
import * as lambda from "aws-cdk-lib/aws-lambda";
import { handlerOf } from ${ours("handler.js")};
export * as Handler from "./index.js";
export const { build, bundle, resolve, instructions } = handlerOf(sst, { lambda });
`;

const SERVER = `
import { createRequire } from "node:module";
import { Server as SstServer } from "./server.js${ORIGINAL}";
import { getChildLogger } from "../logger.js";
import { serverOf } from ${ours("server.js")};
export const Server = serverOf(SstServer, {
  require: createRequire(import.meta.url),
  say: (line) => getChildLogger("client").info(line),
});
`;

const STATE = `
export { artifactsPath, read } from "./function.js${ORIGINAL}";
export { append, reset } from ${ours("state.js")};
`;

const APP = `
import { listFunctionsOf } from ${ours("list.js")};
listFunctionsOf(App);
`;

const PARTS = [
  { file: "core/dist/runtime/handler/index.js", replaced: HANDLER },
  { file: "core/dist/runtime/server.js", replaced: SERVER },
  { file: "core/dist/state/function.js", replaced: STATE },
  { file: "resources/dist/App.js", added: APP },
];

/** What the table says of the module at a URL, or undefined. */
export function partOf(url) {
  return PARTS.find(({ file }) => url.endsWith(`/@serverless-stack/${file}`));
}
