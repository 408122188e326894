import assert from "node:assert/strict";
import { test } from "node:test";

import { eventsOf } from "../lib/events.js";
import { signalled, verbs, world } from "./fake.js";

const STREAM = [
  ": hello\n\n",
  'event: built\nid: 1\ndata: {"name": "Größe"}\n\n',
  "data: two\r\ndata: lines\r\n\r\n",
  "retry: 5\n\n",
  "event:failed\rdata\r\r",
  "data: never ended",
].join("");
const EVENTS = [
  { event: "built", id: "1", data: { name: "Größe" } },
  { event: "message", data: "two\nlines" },
  { event: "failed", data: "" },
];

async function collect(events) {
  const found = [];
  for await (const event of events) found.push(event);
  return found;
}

test("events are the same wherever the stream is cut into chunks", async () => {
  const bytes = Buffer.from(STREAM);
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const chunks = [bytes.subarray(0, cut), bytes.subarray(cut)];
    assert.deepEqual(await collect(eventsOf(chunks)), EVENTS, `cut at ${cut}`);
  }
  const single = Array.from(bytes, (byte) => Buffer.of(byte));
  assert.deepEqual(await collect(eventsOf(single)), EVENTS);
});

test("the listening ends with the daemon, and leaving the loop closes the connection", async (t) => {
  const self = await world(t);
  let stream;
  const [closed, close] = signalled();
  self.reply = (request, response) => {
    stream = response;
    request.socket.on("close", close);
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write('event: built\ndata: {"name": "ListNotes"}\n\n');
  };
  for await (const event of self.client.events()) {
    assert.deepEqual(event, { event: "built", data: { name: "ListNotes" } });
    break;
  }
  await closed;
  const heard = [];
  for await (const { event } of self.client.events()) {
    heard.push(event);
    if (heard.length === 1) stream.write("event: failed\ndata: 1\n\n");
    else self.kill();
  }
  assert.deepEqual(heard, ["built", "failed"]);
  assert.equal(self.requests[0].url, "/v1/events");
  assert.deepEqual(verbs(self.commands), ["daemon start", "daemon address"]);
});

test("an aborted listener hears why, before the first event and after", async (t) => {
  const self = await world(t);
  for (const events of ["", "data: 1\n\n"]) {
    const controller = new AbortController();
    self.reply = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      response.write(events);
      if (!events) controller.abort(new Error("enough"));
    };
    const listening = async () => {
      for await (const { data } of self.client.events({ signal: controller.signal })) {
        assert.equal(data, 1);
        controller.abort(new Error("enough"));
      }
    };
    await assert.rejects(listening, /enough/);
  }
});
