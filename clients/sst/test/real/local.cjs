/** Preloaded: requests to AWS go to the emulator at EMULATOR, and its names lead to loopback. */
const dns = require("node:dns");
const http = require("node:http");
const https = require("node:https");

const emulator = Number(process.env.EMULATOR);
const isAws = (host) => /(^|\.)amazonaws\.com$/.test(host ?? "");

const { request } = https;
https.request = (options, ...rest) => {
  const host = typeof options === "object" ? (options.hostname ?? options.host) : undefined;
  if (!isAws(host)) return request.call(https, options, ...rest);
  const place = { protocol: "http:", host: "127.0.0.1", hostname: "127.0.0.1", port: emulator };
  const headers = { Host: host, ...options.headers };
  return http.request({ ...options, ...place, agent: undefined, headers }, ...rest);
};
https.get = (...given) => https.request(...given).end();

const { lookup } = dns;
dns.lookup = (host, ...rest) => {
  if (!host?.endsWith(".localhost")) return lookup.call(dns, host, ...rest);
  const [options, answer] = rest.length > 1 ? rest : [{}, rest[0]];
  const found = { address: "127.0.0.1", family: 4 };
  return process.nextTick(() => (options?.all ? answer(null, [found]) : answer(null, found.address, 4)));
};
