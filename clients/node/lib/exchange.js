/** HTTP/1.1 over a Unix socket: one request and its answer, or a stream. */

import http from "node:http";

import { Lost, RequestError } from "./faults.js";
import { linked } from "./limits.js";

/** So long without an answer, and we ask whether the daemon's loop still turns. */
const SILENCE_MS = 10_000;
const ALIVE_MS = 5000;

/** The answer's JSON. Throws RequestError, Lost, or the signal's reason. */
export async function ask(agent, socketPath, { signal, ...request }) {
  const own = linked(signal);
  const timer = setInterval(async () => {
    if (!(await isAlive(socketPath))) own.abort(new Lost("the daemon does not answer any more"));
  }, SILENCE_MS);
  try {
    const response = await open(agent, socketPath, { ...request, signal: own.signal });
    return answerOf(response.statusCode, await text(response, own.signal));
  } finally {
    clearInterval(timer);
    own.end();
  }
}

/** The response once its head is here and says 200; the caller reads or destroys it. */
export async function listen(socketPath, { path, signal }) {
  const response = await open(false, socketPath, { method: "GET", path, signal });
  if (response.statusCode !== 200) answerOf(response.statusCode, await text(response, signal));
  return response;
}

function open(agent, socketPath, { method, path, body, signal }) {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers = payload && {
      "content-type": "application/json",
      "content-length": payload.length,
    };
    const request = http.request({ agent, socketPath, method, path, headers, signal }, resolve);
    request.on("error", (fault) => {
      if (signal.aborted) reject(signal.reason);
      // An idle connection may be closed just as it is used again. That says nothing about the
      // daemon; a new connection does.
      else if (request.reusedSocket) {
        resolve(open(false, socketPath, { method, path, body, signal }));
      } else reject(new Lost(fault.message, { cause: fault }));
    });
    request.end(payload);
  });
}

async function text(response, signal) {
  const chunks = [];
  try {
    for await (const chunk of response) chunks.push(chunk);
  } catch (fault) {
    throw signal.aborted ? signal.reason : new Lost("the answer broke off", { cause: fault });
  }
  return Buffer.concat(chunks).toString("utf8");
}

function answerOf(status, body) {
  let answer;
  try {
    answer = JSON.parse(body);
  } catch (fault) {
    throw new Lost(`an answer that is not JSON (status ${status})`, { cause: fault });
  }
  if (status === 200) return answer;
  if (status === 503) throw new Lost(answer.detail ?? "the daemon is leaving");
  throw new RequestError({ status, ...answer });
}

/** Whether anything comes back; what it says does not matter. */
async function isAlive(socketPath) {
  const { signal, abort } = linked();
  const timer = setTimeout(() => abort(new Lost("no sign of life")), ALIVE_MS);
  try {
    (await open(false, socketPath, { method: "GET", path: "/v1/alive", signal })).resume();
    return true;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}
