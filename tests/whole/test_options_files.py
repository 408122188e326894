"""`copy`, `include` and `shared`: what of them is in a zip and in a live tree, and what they make
stale."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.bundler import build
from lambdad.bundler.model import BuildResult, Copy, Failed, Function, Handler, Method, Want
from lambdad.bundler.report.render import status
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.store import Store, cache_folder
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.bundler.workshop import Workshop
from tests.bundler.inputs.test_snapshot import wait_for_tick
from tests.bundler.test_build import built, project
from tests.conftest import Tree, workshop_at, write_tree
from tests.support.loading import call_node, call_python, unpack
from tests.support.samples import function

Lay = Callable[[Tree], None]
Way = tuple[str, Want]

READ_JS = """
const { readFileSync } = require("node:fs");
exports.handler = async (name) => readFileSync(`${__dirname}/${name}`, "utf8");
"""
READ_PY = """
import os

def handler(event, context):
    with open(os.path.join(os.path.dirname(__file__), event)) as file:
        return file.read()
"""
APP: dict[str, str | bytes] = {
    "src/app.js": READ_JS,
    "src/bundled.ts": 'import { readFileSync } from "node:fs";\n'
    "export const handler = async (name: string) => "
    'readFileSync(`${__dirname}/${name}`, "utf8");\n',
    "src/app.py": READ_PY,
    "texts/one.txt": "one",
    "texts/deep/two.txt": "two",
    "texts/deep/two.md": "not",
    "texts/.DS_Store": "never",
    "texts/run.sh": "#!/bin/sh\n",
    "certs/root.pem": "root",
}
TEXTS = {"one.txt", "run.sh", "deep/two.txt", "deep/two.md"}
JAVASCRIPT = {"runtime": RUNTIMES["nodejs22.x"]}
KINDS: dict[str, dict[str, Any]] = {
    "python": {"method": Method.PYTHON, "handler": Handler("app.handler", "app", "handler")},
    "node": {
        "method": Method.NODE,
        "handler": Handler("app.handler", "app", "handler"),
        **JAVASCRIPT,
    },
    "esbuild": {
        "method": Method.ESBUILD,
        "handler": Handler("bundled.handler", "bundled", "handler"),
        **JAVASCRIPT,
    },
}
OWN = {
    "python": {"app.js", "app.py", "bundled.ts"},
    "node": {"app.js", "app.py", "bundled.ts"},
    "esbuild": {"bundled.js"},
}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_way = pytest.mark.parametrize("way", list(itertools.product(KINDS, Want)))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """A project whose store is the user's own, so that esbuild is fetched once."""
    return workshop_at(tmp_path / "project", Store(cache_folder(dict(os.environ))))


def of(kind: str, **changes: Any) -> Function:
    return function(**{**KINDS[kind], **changes})


def run(workshop: Workshop, one: Function, want: Want = Want.ZIP) -> BuildResult:
    wait_for_tick(workshop.root)
    (outcome,) = build.build((one,), workshop, Upkeep(project(workshop, one)), want=want)
    return outcome


def good(workshop: Workshop, one: Function, want: Want = Want.ZIP) -> BuildResult:
    outcome = run(workshop, one, want)
    assert status(outcome) == "built", outcome.diagnostics
    return outcome


def names(workshop: Workshop) -> set[str]:
    return set(built(workshop))


def codes(outcome: BuildResult) -> list[str]:
    return [one.code for one in outcome.diagnostics]


def answer(workshop: Workshop, one: Function, tmp_path: Path, event: str) -> Any:
    folder = unpack(Path(workshop.root, ".lambdad/build/Sample.zip"), tmp_path / "unpacked")
    if one.method is Method.PYTHON:
        version = ".".join(map(str, one.runtime.version))
        return call_python(version, folder, one.handler.text, event)
    return call_node(folder, one.handler.text, event)


# --- copy --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("copy", "expected"),
    [
        (Copy("certs/root.pem", ""), {"certs/root.pem"}),
        (Copy("certs/root.pem", "."), {"root.pem"}),
        (Copy("certs/root.pem", "tls/"), {"tls/root.pem"}),
        (Copy("certs/root.pem", "tls/ca.crt"), {"tls/ca.crt"}),
        (Copy("texts", ""), {f"texts/{name}" for name in TEXTS}),
        (Copy("texts", "."), TEXTS),
        (Copy("texts/deep", "t"), {"t/two.txt", "t/two.md"}),
        (Copy("texts/**/*.txt", "t"), {"t/one.txt", "t/deep/two.txt"}),
        (Copy("texts/*.txt", ""), {"texts/one.txt"}),
        (Copy("*/*.pem", "all"), {"all/certs/root.pem"}),
        (Copy("texts/de*", "t"), {"t/deep/two.txt", "t/deep/two.md"}),
    ],
)
@each_kind
def test_copied(workshop: Workshop, lay: Lay, kind: str, copy: Copy, expected: set[str]) -> None:
    """A file, a folder or what a pattern matches lies where `to` says; excludes always hold."""
    lay(APP)
    outcome = good(workshop, of(kind, copy=(copy,)))
    assert names(workshop) == OWN[kind] | expected
    assert codes(outcome) == []


@each_kind
def test_copies_are_read(workshop: Workshop, lay: Lay, tmp_path: Path, kind: str) -> None:
    """The handler finds a copied file beside itself, with its bytes and its mode."""
    lay(APP)
    os.chmod(Path(workshop.root, "texts/run.sh"), 0o755)
    one = of(kind, copy=(Copy("texts", "t"),))
    good(workshop, one)
    assert answer(workshop, one, tmp_path, "t/deep/two.txt") == "two"
    assert os.access(tmp_path / "unpacked/t/run.sh", os.X_OK)
    assert not os.access(tmp_path / "unpacked/t/one.txt", os.X_OK)


@each_kind
@pytest.mark.parametrize("want", Want)
def test_copies_make_stale(workshop: Workshop, lay: Lay, kind: str, want: Want) -> None:
    """An edited copy and a new file that matches rebuild; a file that does not match is nothing."""
    lay(APP)
    one = of(kind, copy=(Copy("texts/**/*.txt", ""), Copy("certs/root.pem", "")))
    good(workshop, one, want)
    assert good(workshop, one, want).cached
    for change, reason in (
        ({"texts/deep/two.txt": "2"}, "texts/deep/two.txt changed"),
        ({"texts/new/three.txt": "3"}, "texts/new appeared"),
        ({"texts/new/four.txt": "4"}, "texts/new/four.txt appeared"),
        ({"certs/root.pem": "other"}, "certs/root.pem changed"),
    ):
        lay(change)
        assert reason in good(workshop, one, want).reasons
    if want is Want.ZIP:
        assert built(workshop)["texts/deep/two.txt"] == b"2"
        assert "texts/new/four.txt" in names(workshop)
    lay({"texts/five.md": "5", "texts/deep/six.md": "6"})
    assert good(workshop, one, want).cached
    Path(workshop.root, "texts/new/four.txt").unlink()
    assert not good(workshop, one, want).cached


@each_way
@pytest.mark.parametrize(
    ("source", "mend"),
    [
        ("absent.txt", {"absent.txt": ""}),
        ("absent/*.txt", {"absent/x.txt": ""}),
        ("texts/*.css", {"texts/x.css": ""}),
        ("empty", {"empty/x.txt": ""}),
        ("texts/\0", None),
    ],
)
def test_nothing_to_copy(
    workshop: Workshop, lay: Lay, way: Way, source: str, mend: Tree | None
) -> None:
    """What is not there is told, with faults of the code; creating it retries the build."""
    lay(APP)
    Path(workshop.root, "empty").mkdir()
    kind, want = way
    one = of(kind, copy=(Copy(source, "t"), Copy("gone", "g")))
    outcome = run(workshop, one, want)
    assert (status(outcome), codes(outcome)) == ("failed", ["missing-files"] * 2)
    assert source.partition("\0")[0] in outcome.diagnostics[0].message
    if mend is not None:
        assert run(workshop, one, want).cached
        lay({**mend, "gone": "here"})
        good(workshop, one, want)


@each_kind
def test_all_faults_together(workshop: Workshop, lay: Lay, kind: str) -> None:
    """A missing copy is told beside what is wrong with the handler."""
    lay({**APP, "src/app.js": "", "src/app.py": "", "src/bundled.ts": "export const other = 1;\n"})
    outcome = run(workshop, of(kind, copy=(Copy("gone", ""),)))
    assert "missing-files" in codes(outcome)
    if kind != "esbuild":
        return  # own code and copies come from one walk
    assert sorted(codes(outcome)) == ["missing-export", "missing-files"]


@each_way
@pytest.mark.parametrize("source", ["../outside.txt", "way", "way/*.txt", "../*.txt"])
def test_outside(workshop: Workshop, lay: Lay, way: Way, source: str) -> None:
    """What is outside the repository is refused, symlinks resolved, unless the user allows it."""
    lay({**APP, "way": "-> ../elsewhere"})
    write_tree(Path(workshop.root).parent, {"outside.txt": "", "elsewhere/x.txt": ""})
    kind, want = way
    copy = (Copy(source, "t"),)
    outcome = run(workshop, of(kind, copy=copy), want)
    assert (status(outcome), codes(outcome)) == ("failed", ["outside-repository"])
    good(workshop, of(kind, copy=copy, allow=("..",)), want)


def test_link_led_back(workshop: Workshop, lay: Lay, tmp_path: Path) -> None:
    """A refused symlink that is led into the repository is built at the next request."""
    lay({**APP, "way": "-> ../elsewhere"})
    (tmp_path / "elsewhere").mkdir()
    one = of("python", copy=(Copy("way", "t"),))
    assert status(run(workshop, one)) == "failed"
    Path(workshop.root, "way").unlink()
    lay({"way": "-> texts"})
    good(workshop, one)
    assert "t/one.txt" in names(workshop)


@each_way
@pytest.mark.parametrize("to", ["..", "../t", "/etc", "a/../../b", "C:/x", "a\\b", "x\0"])
def test_nowhere_to_copy(workshop: Workshop, lay: Lay, way: Way, to: str) -> None:
    """A place that is none in a zip is an error, and nothing is written there."""
    lay(APP)
    kind, want = way
    outcome = run(workshop, of(kind, copy=(Copy("texts/one.txt", to),)), want)
    assert (status(outcome), codes(outcome)) == ("failed", ["zip-name"])


def test_up_needs_a_place(workshop: Workshop, lay: Lay) -> None:
    """A source above the project has no place of its own in the zip."""
    lay({"project/src/app.py": READ_PY, "beside.txt": ""})
    inner = workshop_at(Path(workshop.root, "project"), workshop.store)
    inner = Workshop(
        root=inner.root, repository=workshop.root, store=inner.store, environ=inner.environ
    )
    assert codes(run(inner, of("python", copy=(Copy("../beside.txt", ""),)))) == ["zip-name"]
    good(inner, of("python", copy=(Copy("../beside.txt", "."),)))
    assert "beside.txt" in names(inner)


# --- who has the place ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["python", "node"])
def test_code_goes_before_copies(workshop: Workshop, lay: Lay, kind: str) -> None:
    """The code folder's file stays, then the first copy's; the loser is named. Equal bytes, or the
    very same file, are no loss."""
    lay(APP | {"src/one.txt": "mine", "other/one.txt": "other", "other/deep/two.txt": "two"})
    copies = (Copy("texts", "."), Copy("other", "."), Copy("src", "."))
    outcome = good(workshop, of(kind, copy=copies))
    assert built(workshop)["one.txt"] == b"mine"
    assert codes(outcome) == ["hidden-files"]
    assert outcome.diagnostics[0].message == (
        "left out of the zip: texts/one.txt (src/one.txt has its place), "
        "other/one.txt (src/one.txt has its place)"
    )


@pytest.mark.parametrize("want", Want)
def test_bundle_goes_before_copies(workshop: Workshop, lay: Lay, want: Want) -> None:
    """A copy never takes the place of the bundle."""
    lay(APP | {"other/bundled.js": "nonsense"})
    outcome = good(workshop, of("esbuild", copy=(Copy("other", "."),)), want)
    assert codes(outcome) == ["hidden-files"]
    assert "other/bundled.js (the bundle has its place)" in outcome.diagnostics[0].message
    if want is Want.ZIP:
        assert b"nonsense" not in built(workshop)["bundled.js"]


@each_kind
@pytest.mark.parametrize("want", Want)
def test_file_against_folder(workshop: Workshop, lay: Lay, kind: str, want: Want) -> None:
    """A file can't be a folder, too: told, and nothing half written."""
    lay(APP)
    copies = (Copy("texts/one.txt", "t"), Copy("certs/root.pem", "t/root.pem"))
    outcome = run(workshop, of(kind, copy=copies), want)
    if want is Want.LIVE and kind != "esbuild":
        assert codes(outcome) == ["not-copied-here"]
    else:
        assert (status(outcome), codes(outcome)) == ("failed", ["zip-clash"])


# --- live trees ----------------------------------------------------------------------------------


def test_live_bundle_has_copies(workshop: Workshop, lay: Lay) -> None:
    """A worker here finds copied files beside the bundle; an edit is another digest. A copied
    source map stays as it is."""
    lay(APP | {"texts/lib.js.map": '{"version": 3}'})
    one = of("esbuild", copy=(Copy("texts", "t"),))
    first = good(workshop, one, Want.LIVE).live
    assert first is not None
    script = f"require({json.dumps(f'{workshop.root}/{first.entry}')}).handler('t/one.txt')"
    done = subprocess.run(
        ["node", "-p", "-e", f"{script}.then((text) => console.log(text)); 0"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "one" in done.stdout.split()
    folder = Path(workshop.root, first.entry).parent
    assert (folder / "t/lib.js.map").read_text() == '{"version": 3}'
    lay({"texts/one.txt": "1"})
    second = good(workshop, one, Want.LIVE).live
    assert second is not None
    assert second.digest != first.digest


@pytest.mark.parametrize("kind", ["python", "node"])
def test_live_sources_have_no_copies(workshop: Workshop, lay: Lay, kind: str) -> None:
    """What only the zip has is told, and changes nothing that is loaded here."""
    lay(APP | {"src/one.txt": "one"})
    one = of(kind, copy=(Copy("texts", "."), Copy("certs/root.pem", ".")))
    outcome = good(workshop, one, Want.LIVE)
    assert codes(outcome) == ["not-copied-here"]
    assert "deep/two.md, deep/two.txt, root.pem and 1 more" in outcome.diagnostics[0].message
    lay({"certs/root.pem": "new"})
    again = good(workshop, one, Want.LIVE)
    assert not again.cached
    assert again.live == outcome.live


# --- include -------------------------------------------------------------------------------------


@each_kind
def test_included(workshop: Workshop, lay: Lay, tmp_path: Path, kind: str) -> None:
    """What an exclude leaves out goes in, built-in excludes included; of a bundle's code folder
    only what is named does."""
    lay(
        APP
        | {
            "src/data/keep.txt": "kept",
            "src/data/drop.txt": "dropped",
            "src/node_modules/.prisma/client/query.txt": "engine",
            "src/node_modules/plain/index.js": "",
            "src/package.json": json.dumps({"name": "x"}),
        }
    )
    one = of(kind, exclude=("data/",), include=("data/keep.txt", "node_modules/.prisma/client"))
    outcome = good(workshop, one)
    extra = {"data/keep.txt", "node_modules/.prisma/client/query.txt"}
    assert names(workshop) == OWN[kind] | extra | (set() if kind == "esbuild" else {"package.json"})
    assert codes(outcome) == []
    assert answer(workshop, one, tmp_path, "node_modules/.prisma/client/query.txt") == "engine"
    lay({"src/node_modules/.prisma/client/new.txt": "new", "src/data/other.txt": ""})
    assert "new" in "".join(good(workshop, one).reasons)
    assert "node_modules/.prisma/client/new.txt" in names(workshop)


@each_kind
@pytest.mark.parametrize("want", Want)
def test_broken_pattern(workshop: Workshop, lay: Lay, kind: str, want: Want) -> None:
    """A pattern that is none is told, never a crash."""
    lay(APP)
    for option in ("include", "exclude"):
        if option == "exclude" and kind == "esbuild":
            continue
        outcome = run(workshop, of(kind, **{option: ("\\",)}), want)
        assert (status(outcome), codes(outcome)) == ("failed", ["bad-value"])


def test_included_package_that_is_installed(workshop: Workshop, lay: Lay) -> None:
    """A file that the production set brings, too, is in the zip once."""
    lay(
        APP
        | {
            "src/package.json": json.dumps({"name": "x", "dependencies": {"a": "1"}}),
            "src/node_modules/a/package.json": json.dumps({"name": "a", "version": "1"}),
            "src/node_modules/a/index.js": "1",
            "src/node_modules/.prisma/x": "x",
        }
    )
    outcome = good(workshop, of("node", include=("node_modules/a", "node_modules/.prisma")))
    assert codes(outcome) == ["unlocked"]
    with zipfile.ZipFile(Path(workshop.root, ".lambdad/build/Sample.zip")) as archive:
        there = archive.namelist()
    assert sorted(there) == sorted(set(there))
    assert {"node_modules/a/index.js", "node_modules/.prisma/x"} <= set(there)


paths = st.lists(
    st.sampled_from(
        ["texts", "..", ".", "*", "**", "[", "src", "one.txt", "\0", "x" * 300, "!", "ü"]
    ),
    max_size=3,
).map("/".join)


@given(copies=st.lists(st.tuples(paths, paths), max_size=3), include=paths, shared=paths)
@settings(max_examples=40)
def test_any_text(
    tmp_path_factory: pytest.TempPathFactory,
    copies: list[tuple[str, str]],
    include: str,
    shared: str,
) -> None:
    """Whatever the options hold, a function is built or told why not."""
    shop = workshop_at(tmp_path_factory.mktemp("any"), Store(cache_folder(dict(os.environ))))
    write_tree(Path(shop.root), APP)
    copy = tuple(Copy(*each) for each in copies)
    one = of("node", copy=copy, include=(include,))
    other = of("python", name="Other", copy=copy, include=(include,), shared=(shared,))
    for want in Want:
        for outcome in build.build(
            (one, other), shop, Upkeep(project(shop, one, other)), want=want
        ):
            if isinstance(outcome, Failed):
                assert outcome.diagnostics
                assert not outcome.machine_fault


# --- shared --------------------------------------------------------------------------------------

SHARED: dict[str, str | bytes] = {
    "src/app.py": "import util, pkg.deep\n\ndef handler(event, context):\n"
    "    return [util.WHERE, pkg.deep.WHERE]\n",
    "common/util.py": "WHERE = 'common'\n",
    "common/pkg/__init__.py": "",
    "common/pkg/deep.py": "WHERE = 'deep'\n",
    "common/tests/test_util.py": "",
    "more/util.py": "WHERE = 'more'\n",
    "more/data.txt": "",
}
LOAD = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
import app
print(json.dumps(app.handler({}, None)))
"""


def loaded(workshop: Workshop, outcome: BuildResult) -> Any:
    """What the live tree answers, with its own `sys.path`."""
    assert outcome.live is not None
    done = subprocess.run(
        [sys.executable, "-B", "-c", LOAD, json.dumps(outcome.live.path)],
        cwd=workshop.root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_shared(workshop: Workshop, lay: Lay, tmp_path: Path) -> None:
    """Shared folders lie at the zip's root and on `sys.path`, the first before the second; the same
    answer comes from the zip and from here."""
    lay(SHARED)
    one = of("python", shared=("common", "more"), exclude=("tests/",))
    outcome = good(workshop, one)
    assert codes(outcome) == ["hidden-files"]
    assert names(workshop) == {
        "app.py", "data.txt", "pkg/__init__.py", "pkg/deep.py", "util.py",
    }  # fmt: skip
    here = good(workshop, one, Want.LIVE)
    assert here.live is not None
    assert here.live.path == ("src", "common", "more")
    answered = answer(workshop, one, tmp_path, "")
    assert answered == loaded(workshop, here) == ["common", "deep"]


@pytest.mark.parametrize("want", Want)
def test_shared_makes_stale(workshop: Workshop, lay: Lay, want: Want) -> None:
    """An edit and a new file of a shared folder rebuild; its excluded files don't."""
    lay(SHARED)
    one = of("python", shared=("common",), exclude=("tests/",))
    first = good(workshop, one, want)
    lay({"common/util.py": "WHERE = 'now'\n"})
    second = good(workshop, one, want)
    assert second.reasons == ("common/util.py changed",)
    if first.live and second.live:
        assert first.live.digest != second.live.digest
    lay({"common/new.py": ""})
    assert good(workshop, one, want).reasons == ("common/new.py appeared",)
    lay({"common/tests/test_more.py": ""})
    assert good(workshop, one, want).cached


@pytest.mark.parametrize("want", Want)
def test_no_shared_folder(workshop: Workshop, lay: Lay, want: Want) -> None:
    """An absent one, a file, and one outside the repository are told together; creating helps."""
    lay(SHARED | {"way": "-> ../.."})
    one = of("python", shared=("absent", "more/data.txt", "way"))
    outcome = run(workshop, one, want)
    assert codes(outcome) == ["missing-files", "missing-files", "outside-repository"]
    one = of("python", shared=("common", "absent"))
    assert status(run(workshop, one, want)) == "failed"
    lay({"absent/x.py": ""})
    good(workshop, one, want)


def test_handler_in_a_shared_folder(workshop: Workshop, lay: Lay) -> None:
    """It may lie there: the zip has it at its root, and here the user's own file is loaded."""
    lay(SHARED)
    handler = Handler("pkg.deep.handler", "pkg/deep", "handler")
    lay({"common/pkg/deep.py": "def handler(event, context): return 1\n"})
    one = of("python", shared=("common",), handler=handler)
    good(workshop, one)
    outcome = good(workshop, one, Want.LIVE)
    assert outcome.live is not None
    assert outcome.live.entry == "common/pkg/deep.py"


@pytest.mark.parametrize("code", ["src", ".", "src/app.py"])
def test_split_package(workshop: Workshop, lay: Lay, code: str) -> None:
    """A package of two folders is one in the zip and not here: told where the function is loaded.
    Folders without __init__.py are namespaces, which Python merges itself."""
    top = "" if code == "." else "src/"
    lay(SHARED | {"common/spaces/b.py": ""})
    lay({f"{top}app.py": SHARED["src/app.py"], f"{top}spaces/a.py": ""})
    one = of("python", code=code, shared=("common",))
    assert codes(good(workshop, one, Want.LIVE)) == []
    if code == "src/app.py":
        return  # a single file has no packages
    lay({f"{top}pkg/more.py": ""})
    outcome = good(workshop, one, Want.LIVE)
    assert codes(outcome) == ["split-package"]
    assert "common both have pkg" in outcome.diagnostics[0].message
    assert "split-package" not in codes(good(workshop, one))


def test_module_beside_package(workshop: Workshop, lay: Lay) -> None:
    """Of a module and a package of one name Lambda takes the package, and here the first folder
    decides."""
    lay(SHARED | {"src/pkg.py": ""})
    assert codes(good(workshop, of("python", shared=("common",)), Want.LIVE)) == ["split-package"]
