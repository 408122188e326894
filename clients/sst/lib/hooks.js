/** Module hooks: they run in Node.js's loader thread, and see each module's URL before it loads. */

import { partOf } from "./parts.js";

export async function load(url, context, nextLoad) {
  const part = partOf(url);
  if (part === undefined) return await nextLoad(url, context);
  if (part.replaced) return { format: "module", source: part.replaced, shortCircuit: true };
  const loaded = await nextLoad(url, context);
  return { ...loaded, source: `${loaded.source}\n${part.added}` };
}
