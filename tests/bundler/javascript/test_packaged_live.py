"""Plain JavaScript loaded where it lies: the digest follows what a worker would load."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler import build
from lambdad.bundler.inputs.snapshot import Clock
from lambdad.bundler.model import BuildResult, Function, Handler, Live, Method, Want
from lambdad.bundler.npm import reach
from lambdad.bundler.report.render import status
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.bundler.workshop import Workshop
from tests.bundler.inputs.test_snapshot import wait_for_tick
from tests.bundler.test_build import project
from tests.conftest import Tree
from tests.support.esbuild_cases import call
from tests.support.samples import function

Lay = Callable[[Tree], None]


def package(name: str, version: str = "1.0.0", **fields: Any) -> str:
    return json.dumps({"name": name, "version": version, **fields})


APP = {
    "src/app.js": "exports.handler = async () => [require('./own').word, require('lib').word];\n",
    "src/own.js": "exports.word = 'own';\n",
    "src/package.json": package("app", dependencies={"lib": "1"}),
    "src/node_modules/lib/package.json": package("lib", dependencies={"deep": "1"}),
    "src/node_modules/lib/index.js": "exports.word = require('deep');\n",
    "src/node_modules/deep/package.json": package("deep"),
    "src/node_modules/deep/index.js": "module.exports = 'deep';\n",
}


def node(**changes: Any) -> Function:
    return function(runtime=RUNTIMES["nodejs22.x"], method=Method.NODE, **changes)


def run(workshop: Workshop, **changes: Any) -> BuildResult:
    wait_for_tick(workshop.root)
    one = node(**changes)
    return build.build([one], workshop, Upkeep(project(workshop, one)), want=Want.LIVE)[0]


def made(workshop: Workshop, **changes: Any) -> Live:
    outcome = run(workshop, **changes)
    assert outcome.live is not None, outcome.diagnostics
    return outcome.live


def test_loaded_where_it_lies(workshop: Workshop, lay: Lay) -> None:
    """The entry is the user's own file, and nothing is copied."""
    lay(APP)
    tree = made(workshop)
    assert (tree.entry, tree.path) == ("src/app.js", ())
    assert call(Path(workshop.root), tree.entry, "handler") == ["own", "deep"]
    assert os.listdir(Path(workshop.root, ".lambdad/live")) == []
    assert run(workshop).cached


@pytest.mark.parametrize(
    ("changed", "reloads"),
    [
        ({"src/own.js": "exports.word = 'new';\n"}, True),
        ({"src/data.json": "{}"}, True),
        ({"src/package.json": package("app", "2.0.0", dependencies={"lib": "1"})}, True),
        ({"src/own.js": APP["src/own.js"]}, False),
        ({"src/package.json": APP["src/package.json"]}, False),
        ({"src/node_modules/deep/package.json": APP["src/node_modules/deep/package.json"]}, False),
    ],
)
def test_digest_follows_content(workshop: Workshop, lay: Lay, changed: Tree, reloads: bool) -> None:
    """Any change of own content is another digest; the same text written again is not."""
    lay(APP)
    before = made(workshop)
    lay(changed)
    after = run(workshop)
    assert not after.cached
    assert after.live is not None
    assert (after.live.digest != before.digest) is reloads


@pytest.mark.parametrize("name", ["lib", "deep"])
def test_reinstalled(workshop: Workshop, lay: Lay, name: str) -> None:
    """A package installed anew with the same version and another content is another digest, however
    far down it is asked for; and the old content again is the old digest."""
    lay(APP)
    before = made(workshop)
    place = f"src/node_modules/{name}"
    again = {f"{place}/package.json": APP[f"{place}/package.json"]}
    lay({**again, f"{place}/index.js": "exports.word = module.exports = 'new';\n"})
    assert made(workshop).digest != before.digest
    lay({**again, f"{place}/index.js": APP[f"{place}/index.js"]})
    assert made(workshop) == before


def test_installed_packages_are_read_once(workshop: Workshop, lay: Lay) -> None:
    """An edit of own code reads no package again: an installer writes package.json anew."""
    lay(APP)
    first = made(workshop)
    lay({"src/node_modules/deep/index.js": "module.exports = 'patched';\n"})
    lay({"src/own.js": "exports.word = 'new';\n"})
    made(workshop)
    lay({"src/own.js": APP["src/own.js"]})
    assert made(workshop) == first


def test_asked_for_while_it_is_installed(workshop: Workshop, lay: Lay) -> None:
    """A package's package.json comes among its first files; what comes later counts once npm notes
    what it installed."""
    lay(APP)
    whole = made(workshop)
    index = Path(workshop.root, "src/node_modules/deep/index.js")
    index.unlink()
    lay({"src/node_modules/deep/package.json": APP["src/node_modules/deep/package.json"]})
    assert made(workshop) != whole
    lay({"src/node_modules/deep/index.js": APP["src/node_modules/deep/index.js"]})
    lay({"src/node_modules/.package-lock.json": "{}"})
    assert made(workshop) == whole


def test_a_package_of_this_tick_is_not_remembered(
    workshop: Workshop, lay: Lay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could still change without a trace in its key is read again."""
    lay(APP)
    monkeypatch.setattr(Workshop, "clock", lambda _self: Clock(device=0, now_ns=0))
    first = made(workshop)
    lay({"src/node_modules/deep/index.js": "module.exports = 'new';\n"})
    lay({"src/own.js": APP["src/own.js"]})
    assert made(workshop).digest != first.digest


def test_packages_that_were_away_while_they_were_read(
    workshop: Workshop, lay: Lay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder above that is moved away and back leaves no trace in the packages' own keys."""
    lay(APP)
    expected = made(workshop)
    lay({"src/node_modules/deep/package.json": APP["src/node_modules/deep/package.json"]})
    code, away = Path(workshop.root, "src"), Path(workshop.root, "away")
    real = reach._digest_of_files

    def read(folder: str, *rest: Any) -> str:
        wait_for_tick(workshop.root)
        code.rename(away)
        try:
            return real(folder, *rest)
        finally:
            away.rename(code)

    monkeypatch.setattr(reach, "_digest_of_files", read)
    run(workshop)
    monkeypatch.undo()
    assert made(workshop) == expected


@pytest.mark.parametrize("torn", [b"", b"x", b"[]"])
def test_torn_memory_is_a_miss(workshop: Workshop, lay: Lay, torn: bytes) -> None:
    """What is kept of packages may be torn: they are read again, to the same digest."""
    lay(APP)
    first = made(workshop)
    for path in (workshop.store.root / "locks").glob("reach-*"):
        path.write_bytes(torn or path.read_bytes()[:-1])
    lay({"src/own.js": APP["src/own.js"]})
    assert made(workshop) == first


@pytest.mark.parametrize("scope", ["dependencies", "none"])
def test_linked_packages_are_the_users_own(workshop: Workshop, lay: Lay, scope: str) -> None:
    """An edit in a workspace package is noticed at once, declared or only named in the source."""
    declared = package("app", dependencies={"lib": "*"} if scope == "dependencies" else {})
    own = {name: text for name, text in APP.items() if "node_modules" not in name}
    lay({**own, "src/package.json": declared, "node_modules/lib": "-> ../packages/lib"})
    lay({"packages/lib/package.json": package("lib"), "packages/lib/index.js": "exports.word=1"})
    first = made(workshop)
    lay({"packages/lib/index.js": "exports.word = 2;\n"})
    outcome = run(workshop)
    assert outcome.reasons == ("packages/lib/index.js changed",)
    assert outcome.live is not None
    assert outcome.live.digest != first.digest
    assert call(Path(workshop.root), outcome.live.entry, "handler") == ["own", 2]


@pytest.mark.parametrize("asker", ["src", "src/node_modules/lib"])
def test_a_copy_of_hard_links_is_the_users_own(workshop: Workshop, lay: Lay, asker: str) -> None:
    """pnpm and Bun copy a package asked for by its path as hard links: an edit of the original
    makes the function stale, and loads anew."""
    declared = {"src": APP["src/package.json"], "src/node_modules/lib": package("lib")}[asker]
    asked = json.loads(declared)
    asked.setdefault("dependencies", {})["near"] = "file:../near"
    original = {"near/package.json": package("near"), "near/word.js": "module.exports = 1;\n"}
    lay(APP | original | {f"{asker}/package.json": json.dumps(asked)})
    copied = Path(workshop.root, "src/node_modules/near")
    copied.mkdir()
    for name in ("package.json", "word.js"):
        os.link(Path(workshop.root, "near", name), copied / name)
    first = made(workshop)
    lay({"near/word.js": "module.exports = 2;\n"})
    outcome = run(workshop)
    assert outcome.live is not None
    assert outcome.reasons == ("src/node_modules/near/word.js changed",)
    assert outcome.live.digest != first.digest


def test_installing_what_was_missing(workshop: Workshop, lay: Lay) -> None:
    """Nothing has to be installed for Lambda; but once it is there, the worker must reload."""
    lay({name: text for name, text in APP.items() if "node_modules" not in name})
    first = run(workshop)
    assert status(first) == "built"
    lay({name: text for name, text in APP.items() if "node_modules" in name})
    second = run(workshop)
    assert not second.cached
    assert first.live != second.live


def test_other_machines_packages_are_fine(workshop: Workshop, lay: Lay) -> None:
    """What is installed here need not fit Lambda."""
    lay({**APP, "src/node_modules/lib/package.json": package("lib", os=["darwin"], cpu=["ppc"])})
    assert status(run(workshop)) == "built"


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"src/app.js": "exports.other = 1;\n"}, "missing-export"),
        ({"src/other.js": "exports.handler = 1;\n"}, "missing-handler-file"),
        ({"src/app.js": "exports.handler = 1;\n", "src/package.json": "{"}, "bad-package-json"),
    ],
)
def test_faults_are_told_and_mended(workshop: Workshop, lay: Lay, files: Tree, code: str) -> None:
    """What would fail fails here too, is told again without a build, and is retried when mended."""
    lay(files)
    first, second = run(workshop), run(workshop)
    assert [item.code for item in first.diagnostics] == [code]
    assert (status(second), second.cached) == ("failed", True)
    lay(APP)
    assert status(run(workshop)) == "built"


def test_a_handler_among_packages(workshop: Workshop, lay: Lay) -> None:
    """A monitoring vendor's handler is loaded from where it is installed."""
    lay({**APP, "src/node_modules/vendor/package.json": package("vendor")})
    path = "node_modules/vendor/handler"
    missing = run(workshop, handler=Handler(f"{path}.handler", path, "handler"))
    assert [item.code for item in missing.diagnostics] == ["missing-handler-file"]
    lay({f"src/{path}.js": "exports.handler = async () => 1;\n"})
    tree = made(workshop, handler=Handler(f"{path}.handler", path, "handler"))
    assert tree.entry == f"src/{path}.js"


def test_a_handler_in_a_layer(workshop: Workshop, lay: Lay) -> None:
    """There are no layers on this machine, and that is said."""
    lay(APP)
    gone = Handler("vendor.handler", "vendor", "handler")
    outcome = run(workshop, handler=gone, layers=True)
    assert status(outcome) == "failed"
    assert "handler-not-here" in [item.code for item in outcome.diagnostics]


def test_a_single_file(workshop: Workshop, lay: Lay) -> None:
    """A function that is one file is loaded from it, with the packages around it."""
    lay({"one.js": "exports.handler = async () => require('deep');\n"})
    lay({name.removeprefix("src/"): text for name, text in APP.items() if "/deep/" in name})
    tree = made(workshop, code="one.js", handler=Handler("one.handler", "one", "handler"))
    assert tree.entry == "one.js"
    assert call(Path(workshop.root), tree.entry, "handler") == "deep"
