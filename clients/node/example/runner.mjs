/** Loads one JavaScript function and runs it for its parent: runner.mjs HANDLER ENTRY. */

import { pathToFileURL } from "node:url";

process.setSourceMapsEnabled(true);
const [name, entry] = process.argv.slice(2);
const loading = import(pathToFileURL(entry).href).then((module) => {
  const key = name.split(".").at(-1);
  return module[key] ?? module.default[key];
});

process.on("message", async ({ id, event }) => {
  try {
    const handler = await loading;
    const value = await new Promise((resolve, reject) => {
      const callback = (fault, answer) => (fault ? reject(fault) : resolve(answer));
      const context = { functionName: process.env.AWS_LAMBDA_FUNCTION_NAME, awsRequestId: `${id}` };
      Promise.resolve(handler(event, context, callback)).then(
        (answer) => (handler.length < 3 || answer !== undefined ? resolve(answer) : undefined),
        reject,
      );
    });
    process.send({ id, value: value ?? null });
  } catch (fault) {
    const { name: errorType, message: errorMessage, stack } = fault;
    process.send({ id, fault: { errorType, errorMessage, trace: stack?.split("\n") } });
  }
});
process.on("disconnect", () => process.exit());
