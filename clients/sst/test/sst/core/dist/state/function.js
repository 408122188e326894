import { appendFileSync, readFileSync, rmSync } from "node:fs";

const file = (root) => `${root}/.sst/functions.jsonl`;

export const artifactsPath = (root, id) => `${root}/.sst/artifacts/${id}`;
export const reset = (root) => rmSync(file(root), { force: true });
export const append = (root, one) => appendFileSync(file(root), `${JSON.stringify({ ...one, root })}\n`);
export const read = (root) =>
  readFileSync(file(root), "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
