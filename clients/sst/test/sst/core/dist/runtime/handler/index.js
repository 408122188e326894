export * as Handler from "./index.js";

export const resolve = (runtime) => () => ({ run: { command: runtime } });
export const build = async () => [];
export const bundle = async ({ id, handler }) => ({ directory: `/sst/${id}`, handler });
export const instructions = (one) => ({
  build: () => build(one),
  bundle: () => bundle(one),
  watcher: { include: [`${one.srcPath}/**/*.ts`], ignore: [] },
});
