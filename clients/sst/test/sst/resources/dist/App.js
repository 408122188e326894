import { Handler, State } from "@serverless-stack/core";

/** Functions are given as the constructs that SST makes of them. */
export class App {
  constructor({ functions, local, appPath }) {
    this.local = local;
    this.appPath = appPath;
    this.node = { findAll: () => [this, ...functions] };
    if (local) State.reset(appPath);
    for (const { localId, props } of functions) {
      if (local) State.append(appPath, { id: localId, ...props });
    }
  }

  async runDeferredBuilds() {
    const bundled = this.node
      .findAll()
      .filter(({ props }) => props && !(this.local && props.enableLiveDev !== false))
      .map(async ({ localId, props }) => {
        const { handler, runtime, srcPath, bundle } = props;
        const one = { id: localId, root: this.appPath, handler, runtime, srcPath, bundle };
        return [localId, await Handler.bundle(one)];
      });
    this.bundled = Object.fromEntries(await Promise.all(bundled));
  }
}
