/** Compiles only if index.d.ts says what users rely on; `npm run types` compiles it. */

import {
  type Answer,
  BuildFailed,
  type Client,
  connect,
  fresh,
  freshAll,
  LambdadError,
  RequestError,
  TimedOut,
} from "lambdad-client";

export async function use(signal: AbortSignal): Promise<string | undefined> {
  const client: Client = connect({ project: ".", command: ["python", "-m", "lambdad"] });
  const found = await fresh("ListNotes", { want: "zip", timeoutMs: 5, project: ".", signal });
  const all: Answer = await freshAll(["ListNotes"] as const);
  const more: Answer = await client.freshAll("all", { want: "live" });
  const { stale = 0 } = await client.save(["src/list.ts"], { timeoutMs: 1000 });
  if (stale > 0 || found.machine_fault) return;
  for await (const { event, data } of client.events({ signal })) console.log(event, data);
  try {
    return (await client.fresh("ListNotes")).live?.digest ?? found.artifact?.immutable_path;
  } catch (fault) {
    if (fault instanceof BuildFailed) return fault.diagnostics[0]?.where?.file;
    if (fault instanceof TimedOut) return fault.building.join();
    if (fault instanceof RequestError) return fault.problem.known?.join();
    if (fault instanceof LambdadError) return fault.code;
    // @ts-expect-error: there is no such thing to want
    await client.fresh("ListNotes", { want: "tar" });
    return all.ok && more.functions.every((item) => item.status === "built") ? "ok" : undefined;
  } finally {
    await client.stop();
    client.close();
  }
}
