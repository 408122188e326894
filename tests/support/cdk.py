"""Apps of the real aws-cdk-lib, which node loads once for all of them: that takes seconds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from lambdad.bundler.toolchain import ESBUILD

PACKAGES: Final = ("aws-cdk-lib@2.276.0", "constructs@10.7.0", f"esbuild@{ESBUILD}")

METADATA: Final = {"aws:cdk:enable-asset-metadata": True, "aws:cdk:enable-path-metadata": True}
"""What the cdk command asks an app for."""
NO_STAGING: Final = {**METADATA, "aws:cdk:disable-asset-staging": True}
"""And with --no-staging."""

SERVER: Final = """
const fs = require("fs"), path = require("path"), readline = require("readline");
const reply = (found) => fs.writeSync(+process.argv[2], JSON.stringify(found) + "\\n");
const own = { ...process.env };
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const asked = JSON.parse(line);
  try {
    process.chdir(asked.root);
    for (const name of Object.keys(process.env)) if (!(name in own)) delete process.env[name];
    Object.assign(process.env, own, asked.environ);
    for (const name of Object.keys(require.cache)) {
      if (!name.split(path.sep).includes("node_modules")) delete require.cache[name];
    }
    const library = path.resolve("node_modules/aws-cdk-lib");
    require(library).AssetStaging.clearAssetHashCache();  // as if this were the first app
    require(path.resolve(asked.script));
    process.emit("beforeExit", 0);  // what an app that does not call synth() waits for
    reply(null);
  } catch (fault) {
    reply(String(fault.stack));
  }
  process.removeAllListeners("beforeExit");
});
"""
"""Runs the script of each line it reads in that line's folder and environment, as `node SCRIPT`
does, and answers with null or with what the script threw."""


class Synthesiser:
    """A node process with aws-cdk-lib loaded; `library` is the folder of packages."""

    def __init__(self, library: Path, script: Path) -> None:
        self.library = library
        self._lock = threading.Lock()
        script.write_text(SERVER)
        replies, theirs = os.pipe()
        self._process = subprocess.Popen(
            ["node", str(script), str(theirs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs],
            text=True,
        )
        os.close(theirs)
        self._replies = os.fdopen(replies)

    def synth(
        self, root: Path, context: Mapping[str, object], script: str = "app.js", **environ: str
    ) -> None:
        """As the cdk command has an app write its cloud assembly; AssertionError if it throws."""
        asked = {
            "root": str(root),
            "script": script,
            "environ": {"CDK_OUTDIR": "cdk.out", "CONTEXT": json.dumps(context), **environ},
        }
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            fault = json.loads(self._replies.readline() or '"node ended"')
        assert fault is None, fault

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._replies.close()


@pytest.fixture(scope="session")
def cdk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Synthesiser]:
    """npm fetches the packages once; without a way to its registry this fails."""
    kept = Path(request.config.cache.mkdir("aws-cdk")) / "-".join(PACKAGES).replace("@", "-")
    if not kept.exists():
        made = kept.with_name(f"{kept.name}.{os.getpid()}")
        npm = ["npm", "install", "--no-package-lock", "--no-fund", "--no-audit", "--silent"]
        subprocess.run([*npm, "--prefix", str(made), *PACKAGES], check=True)
        try:
            made.rename(kept)
        except OSError:  # another worker was quicker
            shutil.rmtree(made)
    synthesiser = Synthesiser(
        kept / "node_modules", tmp_path_factory.mktemp("cdk-node") / "server.js"
    )
    yield synthesiser
    synthesiser.close()
