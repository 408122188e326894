/** In place of SST's table of builders: functions that lambdad builds have none of SST's. */

import { assetOf } from "./assets.js";
import { isOurs } from "./which.js";

/** As SST's runtime/handler/index.js, given that one as `sst` and the CDK's `lambda`. */
export function handlerOf(sst, { lambda }) {
  const bundle = async (one) => (isOurs(one) ? await assetOf(one, lambda) : await sst.bundle(one));

  return {
    bundle,
    resolve: sst.resolve,
    build: async (one) => (isOurs(one) ? [] : await sst.build(one)),
    instructions: (one) => (isOurs(one) ? unwatched(() => bundle(one)) : sst.instructions(one)),
  };
}

/** What makes SST neither watch a function's files nor build it: each request sees to that. */
function unwatched(bundle) {
  return {
    build: async () => [],
    bundle,
    shouldBuild: () => false,
    watcher: { include: [], ignore: [] },
  };
}
