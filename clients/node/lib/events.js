/** Server-sent events, read as the HTML standard says. */

/** Each event as {event, data, id}: `data` parsed if it is JSON. Comments are passed over. */
export async function* eventsOf(chunks) {
  let fields = {};
  for await (const line of linesOf(chunks)) {
    if (line !== "") {
      addField(fields, line);
      continue;
    }
    if (fields.data !== undefined) yield { event: "message", ...fields, data: parse(fields.data) };
    fields = {};
  }
}

function addField(fields, line) {
  const colon = line.indexOf(":");
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (name === "data") fields.data = fields.data === undefined ? value : `${fields.data}\n${value}`;
  else if (name === "event" || name === "id") fields[name] = value;
}

async function* linesOf(chunks) {
  const decoder = new TextDecoder(); // keeps what a chunk cuts through
  let rest = "";
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    // A "\r" at the very end may be the first half of "\r\n".
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    yield* lines;
  }
}

function parse(data) {
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}
