/** The `lambdad` command of fake.js: tells its arguments to the test, and ends as the test says. */

import net from "node:net";

const [control, ...args] = process.argv.slice(2);
const peer = net.connect({ path: control, allowHalfOpen: true });
peer.end(JSON.stringify(args));
const chunks = [];
for await (const chunk of peer.iterator({ destroyOnReturn: false })) chunks.push(chunk);
const { code, stdout, stderr } = JSON.parse(Buffer.concat(chunks).toString());
process.stdout.write(stdout ?? "");
process.stderr.write(stderr ?? "");
process.exitCode = code;
