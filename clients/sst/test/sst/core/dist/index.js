export { Handler } from "./runtime/handler/index.js";
export { Server } from "./runtime/server.js";
export * as State from "./state/function.js";
