/** In place of SST's table of builders: functions that lambdad builds have none of SST's. */

import { assetOf } from "./assets.js";
import { isToBundle } from "./list.js";
import { isOurs, nameOnce } from "./which.js";

/** As SST's runtime/handler/index.js, given that one as `sst` and the CDK's `lambda`. */
export function handlerOf(sst, { lambda }) {
  const bundle = async (one) => {
    if (!isOurs(one)) return await sst.bundle(one);
    if (isToBundle(one)) return await assetOf(one, lambda);
    // A Job bundles its code as a function's, adds to the folder it gets, and has CodeBuild run it.
    nameOnce(one, "it is a job");
    return await sst.bundle(one);
  };

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
