/** For the code of nodejs16.x that the emulator runs: the app's SDK, which calls the emulator. */
const { createRequire } = require("node:module");
const { join } = require("node:path");

require("../local.cjs");
const sdk = createRequire(join(process.env.LAB_APP, "package.json"))("aws-sdk");

const emulator = `127.0.0.1:${process.env.EMULATOR}`;
const place = { endpoint: `http://${emulator}`, region: "us-east-1", s3ForcePathStyle: true };
sdk.config.update(place);

/** WebSocket APIs have names of their own, which lack the emulator's port. */
const { ApiGatewayManagementApi } = sdk;
sdk.ApiGatewayManagementApi = function (options) {
  const url = new URL(`http://${options.endpoint.replace(/^\w+:\/\//, "")}`);
  if (url.port === "") url.port = process.env.EMULATOR;
  return new ApiGatewayManagementApi({ ...options, endpoint: url.href.replace(/\/$/, "") });
};
module.exports = sdk;
