"""Bundles in real workspaces under strace: what esbuild asks about lies in the recorded inputs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from lambdad.bundler.model import ProjectError
from lambdad.bundler.store.store import Store
from lambdad.bundler.zips.member import Contents
from tests.support import npm_apps, npm_workspace
from tests.support.closures import needs_strace, touched, uncovered
from tests.support.esbuild_cases import (
    pack,
    request,
    service,
    workshop_of,
)
from tests.support.npm_apps import Registry, spec
from tests.support.npm_managers import DIFFERENT, LAYOUTS
from tests.support.npm_workspace import checkout, files_of

pytestmark = [
    needs_strace,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed"),
]

BASE: Final = {"compilerOptions": {"strict": True, "paths": {"~lib/*": ["./absent/*", "./lib/*"]}}}
FILES: Final = {
    "ts/tsconfig.json": {"extends": ["tsbase/strict.json", "../tsconfig.base.json"]},
    "tsconfig.base.json": BASE,
    "ts/maps.ts": """
import { id } from "shared/id";
import { word } from "~lib/word";
import mapped from "maps/inner/file";
import self from "#self";
export const handler = async () => [id, word, mapped, self];
""",
    "ts/self.ts": 'export default "self";\n',
    "lib/word.ts": 'export { mark as word } from "./index";\n',
    "ts/optional.ts": """
let found = "none";
try { found = require("nowhere/native/Release") } catch {}
try { found = require("./native/Release/addon") } catch {}
try { found = require("round") } catch {}
export const handler = async () => found;
""",
    "ts/broken.ts": 'import "@own/lib/nothing"; import "missing"; export * from "~lib/gone";\n',
}
HANDLERS: Final = ("app", "alone", "maps", "optional", "broken")


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    registry = npm_workspace.registry()
    registry.publish(spec("tsbase"), {"strict.json": '{"compilerOptions": {"strict": true}}'})
    registry.publish(
        spec("maps", exports={"./inner/*": {"import": "./esm/*.mjs", "default": "./cjs/*.js"}}),
        {"esm/file.mjs": "export default 1;\n", "cjs/file.js": "module.exports = 2;\n"},
    )
    registry.publish(
        spec("round", main="lib", dependencies={"about": "1"}),
        {"lib/index.js": 'exports.about = () => require("about");\n'},
    )
    registry.publish(
        spec("about", dependencies={"round": "1"}),
        {"index.js": 'exports.round = () => require("round");\n'},
    )
    with npm_apps.serving(registry):
        yield registry


@pytest.mark.parametrize("layout", DIFFERENT)
def test_closure_covers_what_esbuild_touches(
    layout: str, tmp_path: Path, registry: Registry, tools: Path, shared_store: Store
) -> None:
    """Workspaces, tsconfig's `paths` and `extends`, optional requires, exports, packages behind
    links: in each manager's layout, with the project at the workspace's root and in a member."""
    app = checkout(LAYOUTS[layout], tmp_path / "app", registry, tools, shared_store)
    declared = files_of(app.layout)["ts/package.json"]
    more = {"tsbase": "1", "maps": "1", "round": "1"}
    dependencies = {**declared["dependencies"], **more}
    imports = {"#self": {"node": "./self.ts"}}
    app.write(
        FILES | {"ts/package.json": declared | {"dependencies": dependencies, "imports": imports}}
    )
    app.install()
    top = os.path.realpath(app.root)
    at_top = workshop_of(app.root)
    wrong = {}
    for workshop, code in ((at_top, "ts"), (replace(at_top, root=f"{top}/ts"), ".")):
        for name in HANDLERS:
            wanted = request({"name": name, "handler": f"{name}.handler", "code": code})
            packed = pack([wanted], workshop, service())
            result = packed[name]
            assert isinstance(result, ProjectError if name == "broken" else Contents), result
            missed = {
                os.path.relpath(path, top)
                for path in touched(wanted, app.root, tmp_path, workshop)
                if uncovered(path, packed.inputs(name), workshop.root, top)
            }
            if missed:
                wrong[code, name] = sorted(missed)
    assert wrong == {}
