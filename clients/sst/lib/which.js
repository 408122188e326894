/** Which of an app's functions lambdad builds; SST's own builders keep the others. */

const RUNTIMES = /^(nodejs(1[2-9]|[2-9]\d)\.x|python3\.([89]|\d\d))$/;

/** A reason for people to read, or undefined if the function is lambdad's to build. */
export function keptBecause({ runtime, bundle }) {
  if (!RUNTIMES.test(runtime)) return `lambdad does not build for ${runtime}`;
  if (bundle === null || typeof bundle !== "object") return undefined;
  if (bundle.commandHooks) return "it has commandHooks";
  if (bundle.installCommands?.length) return "it has installCommands";
  const { esbuildConfig } = bundle;
  if (typeof esbuildConfig === "string" || esbuildConfig?.plugins) return "it has esbuild plugins";
  return undefined;
}

/** Whether it is a function of SST's own, which comes with its package. */
export function isFramework({ srcPath }) {
  return /(^|[/\\])node_modules[/\\]@serverless-stack[/\\]/.test(srcPath ?? "");
}

const named = new Set();

/** As `keptBecause`, as a claim; each function that SST keeps is named once to `say`. */
export function isOurs(one, say = console.log) {
  if (isFramework(one)) return false;
  const reason = keptBecause(one);
  if (reason !== undefined) nameOnce(one, reason, say);
  return reason === undefined;
}

/** Reports a function that SST keeps, the first time. */
export function nameOnce(one, reason, say = console.log) {
  if (!named.has(one.id)) say(`lambdad: SST builds ${one.id} (${one.handler}): ${reason}`);
  named.add(one.id);
}
