"""A workspace with four functions, and what installs, builds and runs it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lambdad.bundler import build
from lambdad.bundler.config.find import read_project
from lambdad.bundler.model import BuildResult
from lambdad.bundler.report.render import status
from lambdad.bundler.store.store import Store
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.bundler.workshop import Workshop
from tests.bundler.inputs.test_snapshot import wait_for_tick
from tests.conftest import write_tree
from tests.support import loading, npm_apps, npm_managers
from tests.support.npm_apps import HANDLER_JS, TREE_JS, Registry, spec
from tests.support.npm_managers import Layout

PACKAGES: Final = (
    spec("shared", "1.0.0"),
    spec("shared", "2.0.0", dependencies={"leaf": "^1.0.0"}),
    spec("leaf", "1.1.0"),
    spec("old", dependencies={"shared": "^1.0.0"}),
    spec("plugin", peerDependencies={"shared": ">=1"}),
    spec("tester", dependencies={"leaf": "^1.0.0", "only-tests": "^1.0.0"}),
    spec("only-tests"),
)


def registry() -> Registry:
    """Packages that tell by `id` which versions they get, in bundles too."""
    found = Registry()
    for declared in PACKAGES:
        needed = [*declared.get("dependencies", {}), *declared.get("peerDependencies", {})]
        below = ", ".join(f'require("{name}/id").id' for name in needed)
        own = f"{declared['name']}@{declared['version']}"
        found.publish(declared, {"id.js": f'exports.id = ["{own}", {below}];\n'})
    return found


LIB: Final = TREE_JS + 'exports.mark = ["one", require("shared/id").id];\n'
TS: Final = """
import { id } from "shared/id";
import { id as plugin } from "plugin/id";
import { mark } from "@own/lib";
export const handler = async () => [id, plugin, mark];
"""
ON_DISK: Final = """
exports.handler = async () =>
  [require("shared/id").id, require("plugin/id").id, require("@own/lib").mark];
"""
ALONE: Final = """
import { id } from "shared/id";
export const handler = async () => [id];
"""
CONFIG: Final = """
[defaults]
runtime = "nodejs20.x"
[functions.Bundled]
code = "ts"
handler = "app.handler"
[functions.Alone]
code = "ts"
handler = "alone.handler"
[functions.Plain]
code = "src"
handler = "app.handler"
bundle = false
[functions.Apart]
code = "apart"
handler = "app.handler"
bundle = false
"""


def files_of(layout: Layout) -> dict[str, Any]:
    wanted = "catalog:" if layout.catalog else "^2.0.0"
    dependencies = {"@own/lib": layout.sibling, "old": "^1.0.0", "plugin": "^1.0.0"}
    return {
        "lambdad.toml": CONFIG,
        "package.json": spec("root", private=True, workspaces=["src", "ts", "lib", "apart"]),
        **layout.settings,
        "src/package.json": spec(
            "app",
            dependencies={**dependencies, "shared": wanted},
            devDependencies={"tester": "^1.0.0"},
        ),
        "src/app.js": HANDLER_JS
        + 'exports.handler = async () => [exports.tree(), require("@own/lib").mark];\n',
        "ts/package.json": spec(
            "ts",
            dependencies={"shared": wanted, "plugin": "^1.0.0"},
            devDependencies={"@own/lib": layout.sibling},
        ),
        "ts/app.ts": TS,
        "ts/alone.ts": ALONE,
        "ts/disk.cjs": ON_DISK,
        "lib/package.json": spec("@own/lib", dependencies={"shared": "^1.0.0"}),
        "lib/index.js": LIB,
        "apart/package.json": spec("apart", dependencies={"leaf": "^1.0.0"}),
        "apart/app.js": HANDLER_JS,
    }


@dataclass(frozen=True)
class App:
    """A checkout of the workspace, and what installs and builds it."""

    root: Path
    layout: Layout
    command: list[str]
    registry: Registry
    store: Store

    def write(self, files: Mapping[str, Any]) -> None:
        as_text = {
            name: text if isinstance(text, str) else json.dumps(text, indent=2)
            for name, text in files.items()
        }
        write_tree(self.root, as_text)

    def install(self) -> None:
        home = self.root.parent / f"{self.root.name}-home"
        npm_apps.run(self.root, self.registry, *self.command, *self.layout.install, home=home)

    def build(self, *, force: bool = False) -> dict[str, BuildResult]:
        project = read_project(str(self.root), os.environ)
        assert not project.diagnostics
        workshop = Workshop(
            root=project.root,
            repository=project.repository,
            store=self.store,
            environ=dict(os.environ),
        )
        wait_for_tick(project.root)
        done = build.build(project.functions, workshop, Upkeep(project), force=force)
        return {outcome.name: outcome for outcome in done}

    def stale(self) -> set[str]:
        """What was built because it was stale. All is then as an unconditional build makes it."""
        outcomes = self.build()
        clean = self.build(force=True)
        for name, outcome in outcomes.items():
            assert (status(outcome), outcome.artifact) == (
                status(clean[name]),
                clean[name].artifact,
            )
        return {name for name, outcome in outcomes.items() if not outcome.cached}

    def answer(self, name: str) -> Any:
        out = self.root.parent / "unpacked" / name
        shutil.rmtree(out, ignore_errors=True)
        handler = "alone.handler" if name == "Alone" else "app.handler"
        root = loading.unpack(self.root / f".lambdad/build/{name}.zip", out)
        return loading.call_node(root, handler, {})

    def names(self, function: str) -> list[str]:
        with zipfile.ZipFile(self.root / f".lambdad/build/{function}.zip") as archive:
            return archive.namelist()

    def digests(self) -> dict[str, str]:
        """Of each function's zip."""
        return {
            path.stem: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (self.root / ".lambdad/build").glob("*.zip")
        }


def checkout(layout: Layout, root: Path, registry: Registry, tools: Path, store: Store) -> App:
    app = App(root, layout, npm_managers.command(layout.tool, tools), registry, store)
    app.write(files_of(layout))
    return app
