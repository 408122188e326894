"""Workspaces as each real package manager lays them out: built, run, edited, installed again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.bundler.model import BuildResult
from lambdad.bundler.report.render import status
from lambdad.bundler.store.store import Store
from tests.support import npm_apps, npm_workspace
from tests.support.npm_apps import Registry, spec
from tests.support.npm_managers import DIFFERENT, LAYOUTS
from tests.support.npm_workspace import LIB, App, checkout, files_of

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed"),
]


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with npm_apps.serving(npm_workspace.registry()) as registry:
        yield registry


@pytest.fixture
def app(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    registry: Registry,
    tools: Path,
    shared_store: Store,
) -> App:
    """The workspace, written and not installed yet."""
    return checkout(LAYOUTS[request.param], tmp_path / "app", registry, tools, shared_store)


def codes(outcome: BuildResult) -> list[str]:
    return [diagnostic.code for diagnostic in outcome.diagnostics]


@pytest.mark.parametrize("app", LAYOUTS, indirect=True)
def test_installed_edited_installed_again(app: App) -> None:
    """From the first installation to a dependency that is removed: every function has what its
    package.json asks for, nothing of the manager's own, and what did not change is not built."""
    app.install()
    outcomes = app.build()
    assert {name: codes(outcome) for name, outcome in outcomes.items() if codes(outcome)} == {}
    check_answers(app, "one")
    with_tests = [name for name in app.names("Plain") if "tester" in name or "only-tests" in name]
    assert not with_tests
    assert not [name for name in app.names("Plain") if "/." in f"/{name}"]
    assert app.stale() == set()

    app.write({"lib/index.js": LIB.replace("one", "two")})
    assert app.stale() == {"Bundled", "Plain"}
    check_answers(app, "two")

    before = app.digests()
    for modules in list(app.root.glob("**/node_modules")):
        shutil.rmtree(modules, ignore_errors=True)
    told = app.build()["Plain"].diagnostics[0]
    command = "npm ci" if app.layout.name == "npm" else f"{app.layout.name} install"
    assert told.code == "not-installed"
    assert told.hint == f"run `{command}` in the project's folder"
    app.install()
    app.build()
    assert app.digests() == before
    check_answers(app, "two")

    declared = files_of(app.layout)["src/package.json"]
    del declared["dependencies"]["old"]
    app.write({"src/package.json": declared})
    app.install()
    assert "Plain" in app.stale()
    assert not [name for name in app.names("Plain") if "/old/" in name]
    assert app.answer("Plain")[0]["app@1.0.0"].keys() == {"@own/lib", "plugin", "shared"}


def check_answers(app: App, word: str) -> None:
    """Each function gets the versions that it gets where it is installed."""
    bundled, plain = app.answer("Bundled"), app.answer("Plain")
    assert bundled == npm_apps.call(app.root / "ts", "./disk.cjs")
    assert plain == npm_apps.call(app.root / "src")
    assert bundled[2] == plain[1] == [word, ["shared@1.0.0"]]
    assert app.answer("Alone") == [["shared@2.0.0", ["leaf@1.1.0"]]]
    assert app.answer("Apart") == {"apart@1.0.0": {"leaf": {"leaf@1.1.0": {}}}}


@pytest.mark.parametrize("app", LAYOUTS, indirect=True)
def test_lock_and_record(app: App) -> None:
    """The lock, and the manager's record of what is installed, are inputs of packaged functions
    alone; an installation that is not what the lock says is an error in the manager's own words."""
    app.install()
    app.build()
    record = [app.layout.record] if app.layout.record else []
    for name in (app.layout.lock, *record):
        with open(app.root / name, "ab") as file:
            file.write(b"\n")
        outcomes = app.build()
        assert f"{name} changed" in outcomes["Plain"].reasons
        assert outcomes["Bundled"].cached
    if not app.layout.compared:
        return
    path = app.root / app.layout.lock
    locked = path.read_text()
    path.write_text(locked.replace("1.1.0", "1.2.0"))
    (told,) = app.build()["Apart"].diagnostics
    command = "npm ci" if app.layout.name == "npm" else f"{app.layout.name} install"
    assert told.code == "install-outdated"
    assert told.message.endswith("says: leaf 1.1.0 (the lock says 1.2.0)")
    assert told.hint == f"run `{command}` in the project's folder"
    path.write_text(locked)
    assert status(app.build()["Apart"]) == "built"
    asking = app.root / ("pnpm-workspace.yaml" if app.layout.catalog else "src/package.json")
    asking.write_text(asking.read_text().replace("^2.0.0", "^2.0.0 || ^3.0.0"))
    (told,) = app.build()["Plain"].diagnostics
    assert told.code == "lock-outdated"
    assert told.message == f"{app.layout.lock} does not fit src/package.json: shared"
    hint = f"run `{app.layout.name} install` in the project's folder, and commit the lock"
    assert told.hint == hint


@pytest.mark.parametrize("app", DIFFERENT, indirect=True)
def test_copied_package(app: App) -> None:
    """A package asked for by its folder's path: whether the manager links it, copies it or makes
    hard links, an edit of the original shows in the zip if it shows when run in place."""
    declared = files_of(app.layout)["src/package.json"]
    declared["dependencies"]["near"] = "file:../near"
    app.write(
        {
            "src/package.json": declared,
            "src/app.js": 'exports.handler = async () => require("near").word;\n',
            "near/package.json": spec("near"),
            "near/index.js": 'exports.word = require("./word.js");\n',
            "near/word.js": 'module.exports = "one";\n',
        }
    )
    app.install()
    app.build()
    assert app.answer("Plain") == npm_apps.call(app.root / "src") == "one"
    with open(app.root / "near/word.js", "r+") as file:
        file.write('module.exports = "two";\n')
    app.stale()
    assert app.answer("Plain") == npm_apps.call(app.root / "src")


@pytest.mark.parametrize("layout", DIFFERENT)
def test_same_bytes_in_two_checkouts(
    layout: str, tmp_path: Path, registry: Registry, tools: Path, shared_store: Store
) -> None:
    """A checkout elsewhere, installed in two steps and with other caches, gives the same bytes."""
    here = checkout(LAYOUTS[layout], tmp_path / "here", registry, tools, shared_store)
    there = checkout(
        LAYOUTS[layout], tmp_path / "some/where else", registry, tools, Store(tmp_path / "store")
    )
    here.install()
    here.build()
    whole = files_of(there.layout)["src/package.json"]
    there.write({"src/package.json": {**whole, "dependencies": {"old": "^1.0.0"}}})
    there.install()
    there.write({"src/package.json": whole})
    shutil.copyfile(here.root / here.layout.lock, there.root / there.layout.lock)
    there.install()
    there.build()
    assert there.digests() == here.digests()
    assert len(here.digests()) == 4
