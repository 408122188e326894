#!/usr/bin/env node
/**
 * A live proxy in small. POST /ListNotes with an event runs that function as its files are now:
 *
 *   node live-proxy.mjs [PROJECT] [PORT]
 */

import { createServer } from "node:http";
import { resolve } from "node:path";

import { BuildFailed, connect, RequestError } from "lambdad-client";

import { startWorker } from "./workers.mjs";

const project = resolve(process.argv[2] ?? ".");
const client = connect({ project });
const workers = new Map(); // by function: the one that loaded its newest digest

async function invoke(name, event, signal) {
  const found = await client.fresh(name, { signal });
  if (!found.live) return { fault: { errorType: "NothingToRun", errorMessage: found.status } };
  let worker = workers.get(name);
  if (!worker?.alive || worker.digest !== found.live.digest) {
    worker?.retire();
    worker = startWorker(project, found);
    workers.set(name, worker);
  }
  return await worker.run(event);
}

async function answer(request, signal) {
  // Without this, any page in a browser on this machine could run the functions.
  const local = /^(localhost|127\.0\.0\.1)(:\d+)?$/.test(request.headers.host);
  if (!local || request.headers.origin) return [403, { errorType: "Forbidden" }];
  try {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const event = JSON.parse(Buffer.concat(chunks).toString() || "{}");
    const name = decodeURIComponent(request.url.slice(1));
    const { fault, value } = await invoke(name, event, signal);
    return fault ? [502, fault] : [200, value];
  } catch (fault) {
    if (fault instanceof BuildFailed) {
      return [502, { errorType: "BuildFailed", diagnostics: fault.diagnostics }];
    }
    const status = fault instanceof RequestError ? fault.status : 500;
    return [status, { errorType: fault.code ?? fault.name, errorMessage: fault.message }];
  }
}

const server = createServer(async (request, response) => {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const [status, document] = await answer(request, gone.signal);
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(document));
});
server.listen(Number(process.argv[3] ?? 0), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
