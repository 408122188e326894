import assert from "node:assert/strict";
import { test } from "node:test";

import { ask } from "../lib/exchange.js";
import { Lost } from "../lib/faults.js";
import { answer, BUILT, send, world } from "./fake.js";

test("an answer cut at any byte is lost, never taken for a whole one", async (t) => {
  const self = await world(t);
  await self.run();
  const body = JSON.stringify(answer([BUILT]));
  for (const head of [`Content-Length: ${body.length}`, "Connection: close"]) {
    const whole = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${head}\r\n\r\n${body}`;
    const get = () => ask(false, self.socket, { method: "GET", path: "/v1/status" });
    for (let cut = 0; cut < whole.length; cut += 1) {
      self.reply = (request) => request.socket.end(whole.slice(0, cut));
      await assert.rejects(get, Lost, `cut at ${cut}`);
    }
    self.reply = (request) => request.socket.end(whole);
    assert.deepEqual(await get(), answer([BUILT]));
  }
});

test("what is sent and answered keeps every character", async (t) => {
  const self = await world(t, (_request, response, body) => send(response, body));
  await self.run();
  const body = { files: ["größe/名前.ts", 'a "b"\n'] };
  const request = { method: "POST", path: "/v1/save", body };
  assert.deepEqual(await ask(false, self.socket, request), body);
});
