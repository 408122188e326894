/** NODE_OPTIONS: ours beside the user's, and the user's alone again. */

const REGISTER = `--import=${new URL("register.js", import.meta.url).href}`;

/** The variables with which a process and its children attach. */
export function attached(env) {
  const options = [env.NODE_OPTIONS, REGISTER].filter(Boolean).join(" ");
  return { ...env, NODE_OPTIONS: options };
}

/** The variables as the user set them: for processes that are none of SST's. */
export function detached(env) {
  if (!env.NODE_OPTIONS?.includes(REGISTER)) return env;
  const { NODE_OPTIONS, ...rest } = env;
  const options = NODE_OPTIONS.split(REGISTER)
    .map((part) => part.trim())
    .filter(Boolean)
    .join(" ");
  return options ? { ...rest, NODE_OPTIONS: options } : rest;
}
