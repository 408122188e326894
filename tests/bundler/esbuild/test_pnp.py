"""Bundles of packages that Yarn's Plug'n'Play keeps in archives."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.esbuild import pnp
from lambdad.bundler.model import ProjectError
from lambdad.bundler.report.render import status
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
from tests.support.npm_apps import Registry
from tests.support.npm_managers import PLUG_AND_PLAY
from tests.support.npm_workspace import LIB, App, checkout

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with npm_apps.serving(npm_workspace.registry()) as registry:
        yield registry


@pytest.fixture
def app(tmp_path: Path, registry: Registry, tools: Path, shared_store: Store) -> App:
    return checkout(PLUG_AND_PLAY, tmp_path / "app", registry, tools, shared_store)


def test_bundled_from_archives(app: App) -> None:
    """A bundle has what it imports of archives and workspaces, and is stale when a workspace, the
    data or an archive changes; a packaged function is refused, saying what to set."""
    app.install()
    outcomes = app.build()
    shared = ["shared@2.0.0", ["leaf@1.1.0"]]
    assert app.answer("Bundled") == [shared, ["plugin@1.0.0", shared], ["one", ["shared@1.0.0"]]]
    assert outcomes["Bundled"].diagnostics == ()
    (told,) = outcomes["Plain"].diagnostics
    assert told.code == "plug-and-play"
    assert app.stale() == set()

    app.write({"lib/index.js": LIB.replace("one", "two")})
    assert app.stale() == {"Bundled"}
    assert app.answer("Bundled")[2][0] == "two"

    app.write({"lib/package.json": {"name": "@own/lib", "main": "other.js"}})
    (app.root / "lib/index.js").unlink()
    assert status(app.build()["Bundled"]) == "failed"
    app.write({"lib/other.js": 'exports.mark = "three";\n'})
    assert app.stale() == {"Bundled"}
    assert app.answer("Bundled")[2] == "three"

    (archive,) = (app.root / ".yarn/cache").glob("shared-npm-2.0.0-*.zip")
    os.utime(archive)
    assert app.stale() == {"Bundled", "Alone"}
    os.utime(app.root / ".pnp.cjs")
    assert app.stale() == {"Bundled", "Alone", "Plain", "Apart"}


def test_same_bytes_elsewhere(
    tmp_path: Path, app: App, registry: Registry, tools: Path, shared_store: Store
) -> None:
    """With archives in the repository, a bundle's bytes don't depend on where that is."""
    other = checkout(PLUG_AND_PLAY, tmp_path / "where/else", registry, tools, shared_store)
    for one in (app, other):
        one.install()
        one.build()
    assert app.digests() == other.digests()
    assert len(app.digests()) == 2


@pytest.mark.parametrize("minified", [False, True])
def test_archives_of_the_machine(
    tmp_path: Path, registry: Registry, tools: Path, shared_store: Store, minified: bool
) -> None:
    """Archives outside of the repository are told of where their place is in the bundle's bytes."""
    layout = replace(PLUG_AND_PLAY, settings={".yarnrc.yml": "nodeLinker: pnp\n"})
    app = checkout(layout, tmp_path / "app", registry, tools, shared_store)
    if minified:
        config = (app.root / "lambdad.toml").read_text()
        app.write({"lambdad.toml": config + "[defaults.esbuild]\nminify = true\n"})
    app.install()
    outcome = app.build()["Alone"]
    assert status(outcome) == "built"
    assert app.answer("Alone") == [["shared@2.0.0", ["leaf@1.1.0"]]]
    codes = [told.code for told in outcome.diagnostics]
    assert codes == ([] if minified else ["plug-and-play"])


@needs_strace
@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("below", [False, True], ids=["at the top", "below the project"])
def test_closure_covers_what_esbuild_touches(
    app: App, tmp_path_factory: pytest.TempPathFactory, broken: bool, below: bool
) -> None:
    """Every path that esbuild asks about lies in the recorded inputs, failed builds included;
    wherever below the project's folder the data lies."""
    base = {"extends": "@own/lib/tsconfig.base.json", "compilerOptions": {"strict": True}}
    app.write(
        {
            "ts/tsconfig.json": base,
            "lib/tsconfig.base.json": {"compilerOptions": {"paths": {"~/*": ["./*"]}}},
            "ts/app.ts": npm_workspace.TS
            + 'import "~/index";\ntry { require("nowhere") } catch {}\n',
        }
    )
    if broken:
        (app.root / "lib/index.js").unlink()
    app.install()
    top = app.root.parent if below else app.root
    code = os.path.relpath(app.root / "ts", top)
    wanted = request({"name": "app", "handler": "app.handler", "code": code})
    packed = pack([wanted], workshop_of(top), service())
    assert isinstance(packed["app"], ProjectError if broken else Contents)
    asked = touched(wanted, top, tmp_path_factory.mktemp("out"))
    assert any(".zip" in path for path in asked)
    root = os.path.realpath(top)
    missed = {path for path in asked if uncovered(path, packed.inputs("app"), root)}
    assert sorted(os.path.relpath(path, root) for path in missed) == []


REAL_PATHS = {
    "/a/.yarn/__virtual__/x-1/0/cache/x.zip/i.js": "/a/.yarn/cache/x.zip/i.js",
    "/a/.yarn/__virtual__/x-1/1/lib/i.js": "/a/lib/i.js",
    "/a/.yarn/$$virtual/x-1/2/lib/i.js": "/lib/i.js",
    "/a/.yarn/__virtual__/x-1/9/lib/i.js": "/lib/i.js",
    "/a/b.js": "/a/b.js",
}


@pytest.mark.parametrize("path", REAL_PATHS)
def test_virtual_paths(path: str) -> None:
    """What Yarn puts into a path to tell instances of a package apart is taken out of it."""
    assert pnp.real(path) == REAL_PATHS[path]


def test_data_in_a_file_of_its_own(tmp_path: Path) -> None:
    """Data that is not inlined is JSON."""
    data = {"packageRegistryData": [["a", [["1", {"packageLocation": "./lib/"}], 7]], "b", []]}
    (tmp_path / ".pnp.data.json").write_text(json.dumps(data))
    assert pnp.read(f"{tmp_path}/.pnp.data.json") == {"a": (f"{tmp_path}/lib",)}


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.just("packageLocation"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["packageRegistryData", "packageLocation", "x"]), inner)
    ),
    max_leaves=8,
)


@given(data=JSON, around=st.sampled_from(["{}", "const RAW_RUNTIME_STATE =\n'{}'", "{}'\\"]))
def test_any_data(tmp_path_factory: pytest.TempPathFactory, data: object, around: str) -> None:
    """Whatever stands there, there is an answer: esbuild tells what is wrong."""
    path = tmp_path_factory.mktemp("pnp") / ".pnp.cjs"
    path.write_text(around.replace("{}", json.dumps(data)))
    pnp.read(str(path))
