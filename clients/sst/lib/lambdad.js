/** The lambdad of an app, as the processes of SST reach it. */

import { connect } from "lambdad-client";

import { detached } from "./nodeoptions.js";

/** A client whose daemon, and what it starts, knows nothing of our hooks. */
export function clientOf(root) {
  const typed = Boolean(process.stdin.isTTY && process.stderr.isTTY);
  return connect({ project: root, env: detached(process.env), typed });
}

/** Functions of an app that can't be built. The message is for people, and says all there is. */
export class NotBuilt extends Error {}

/** A diagnostic as lines: where and what, then what to do. */
export function linesOf({ severity, code, message, where, hint }) {
  const place = [where?.file, where?.line, where?.column].filter((part) => part != null).join(":");
  const first = `${place && `${place}: `}${severity}[${code}] ${message}`;
  return hint ? [first, `  hint: ${hint}`] : [first];
}
