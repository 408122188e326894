"""`lambdad size`: what takes the room in real zips, and what grew."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.store.store import cache_folder
from lambdad.daemon.cli.main import run
from tests.conftest import Tree, write_tree
from tests.support.daemons import site
from tests.support.python_index import Index, offline_environ

END = 22
"""Bytes of a zip's end, which are no file's."""

Json = dict[str, Any]


def package(name: str, code: str, version: str = "1.0.0") -> Tree:
    folder = f"node_modules/{name}"
    declared = {"name": name, "version": version, "main": "index.js"}
    return {f"{folder}/package.json": json.dumps(declared), f"{folder}/index.js": code}


def below(folder: str, files: Tree) -> Tree:
    return {f"{folder}/{path}": content for path, content in files.items()}


LARGE = "exports.text = '%s';\n" % ("lorem ipsum " * 400)
BUNDLED: Tree = {
    "lambdad.toml": '[functions.One]\nhandler = "src/one.handler"\nruntime = "nodejs22.x"\n',
    "src/one.ts": 'import { text } from "large";\nimport { both } from "@acme/small";\n'
    'import { own } from "./own";\nexport const handler = async () => [text, both, own];\n',
    "src/own.ts": "export const own = 'mine';\n",
    **package("large", LARGE),
    **package("@acme/small", 'exports.both = [require("tiny"), "small"];\n'),
    **package("tiny", "module.exports = 'tiny one';\n"),
    **below("node_modules/@acme/small", package("tiny", "module.exports = 'tiny two';\n", "2.0.0")),
    **below("node_modules/large", package("tiny", "module.exports = 'tiny three';\n", "3.0.0")),
}
PLAIN: Tree = {
    "lambdad.toml": '[functions.One]\nhandler = "one.handler"\nruntime = "nodejs22.x"\n'
    'code = "src"\nbundle = false\n',
    **below(
        "src",
        {
            "one.js": 'const { text } = require("large");\nexports.handler = async () => text;\n',
            "package.json": '{"name": "app", "dependencies": {"large": "1.0.0"}}',
            **package("large", LARGE),
            **below("node_modules/large", package("tiny", "module.exports = 3;\n")),
            "node_modules/large/package.json": '{"name": "large", "version": "1.0.0", '
            '"main": "index.js", "dependencies": {"tiny": "1.0.0"}}',
        },
    ),
}


class App:
    """A project, and the command in it."""

    def __init__(self, root: Path, told: Callable[[], tuple[str, str]]) -> None:
        self.root = root
        self._told = told

    def lay(self, files: Tree) -> None:
        write_tree(self.root, files)

    def say(self, *arguments: str, code: int = 0) -> str:
        """What the command prints; it ends with that code."""
        self._told()
        found = run([*arguments, "--project", str(self.root)])
        out, self.errors = self._told()
        assert found == code, (out, self.errors)
        return out

    def size(self, *arguments: str, code: int = 0) -> Json:
        answer: Json = json.loads(self.say("size", "One", "--json", *arguments, code=code))
        if code == 0:
            self._add_up(answer)
        return answer

    def _add_up(self, answer: Json) -> None:
        """Packages and files are the whole zip, and nothing counts twice."""
        path = self.root / answer["artifact"]["path"]
        for parts in (answer["packages"], answer["files"]):
            assert sum(part["size"] for part in parts) == path.stat().st_size - END
            assert (
                sum(part["unzipped_size"] for part in parts) == answer["artifact"]["unzipped_size"]
            )
        assert answer["artifact"]["size"] == path.stat().st_size


@pytest.fixture
def app(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "app").mkdir()
    return App(tmp_path / "app", lambda: tuple(capsys.readouterr()))  # type: ignore[arg-type,return-value]


@pytest.fixture
def python(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[App, Index]:
    """An app in Python on an index of its own."""
    (tmp_path / "index").mkdir()
    index = Index(tmp_path / "index")
    for name, value in offline_environ(index.folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LAMBDAD_CACHE_DIR", str(tmp_path / "cache"))
    app.lay(
        {
            "lambdad.toml": '[functions.One]\nhandler = "app.handler"\nruntime = "python3.12"\n'
            'code = "src"\n',
            "src/app.py": "def handler(event, context):\n    return 1\n",
        }
    )
    return app, index


def by_name(parts: list[Json]) -> dict[str, Json]:
    return {part["name"] if "name" in part else part["path"]: part for part in parts}


# --- what is in a zip --------------------------------------------------------------------------


def test_a_bundle_by_its_sources(app: App) -> None:
    """Each source counts with what it has in the bundle, under its npm package or as own code."""
    app.lay(BUNDLED)
    answer = app.size()
    packages = by_name(answer["packages"])
    assert set(packages) == {"large", "@acme/small", "tiny", "own code", "added by esbuild"}
    assert {name: one["kind"] for name, one in packages.items()} == {
        **dict.fromkeys(("large", "@acme/small", "tiny"), "npm"),
        "own code": "own",
        "added by esbuild": "made",
    }
    assert answer["packages"][0]["name"] == "large"
    assert packages["large"]["unzipped_size"] > 4800
    files = by_name(answer["files"])
    assert {"src/one.ts", "src/own.ts", "node_modules/large/index.js"} <= set(files)
    # What nothing imports is not in the bundle.
    assert packages["tiny"]["copies"] == 1
    assert files["src/own.ts"]["bundle"] == "src/one.js"
    # The shares of the zip are in proportion: they were compressed together.
    whole = sum(one["unzipped_size"] for one in answer["files"])
    large = files["node_modules/large/index.js"]
    assert abs(large["size"] / answer["artifact"]["size"] - large["unzipped_size"] / whole) < 0.05


def test_copies_of_a_package(app: App) -> None:
    """The same package from several folders is one row, which tells how many there are."""
    app.lay(BUNDLED)
    app.lay({"src/own.ts": 'import tiny from "tiny";\nexport const own = tiny;\n'})
    packages = by_name(app.size()["packages"])
    assert packages["tiny"]["copies"] == 2
    assert packages["tiny"]["files"] == 2
    assert "tiny (2 files, 2 copies)" in app.say("size", "One")


@pytest.mark.parametrize("sourcemap", ["linked", "inline"])
def test_source_maps(app: App, sourcemap: str) -> None:
    """A source map is a row of its own, beside its bundle or at the end of it."""
    app.lay(BUNDLED)
    app.lay(
        {"lambdad.toml": f'{BUNDLED["lambdad.toml"]!s}esbuild = {{ sourcemap = "{sourcemap}" }}\n'}
    )
    packages = by_name(app.size()["packages"])
    assert packages["source maps"]["unzipped_size"] > 4800
    assert packages["added by esbuild"]["unzipped_size"] < 2000
    assert packages["large"]["unzipped_size"] < 6000


def test_names_do_not_depend_on_esbuilds_folder(app: App) -> None:
    """An alias has esbuild run in the code folder; paths stay the project's."""
    app.lay(BUNDLED)
    app.lay(
        {
            "lambdad.toml": '[functions.One]\nhandler = "one.handler"\nruntime = "nodejs22.x"\n'
            'code = "src"\nesbuild = { alias = { "@acme/small" = "./small.ts" } }\n',
            "src/small.ts": "export const both = 'another';\n",
        }
    )
    files = by_name(app.size()["files"])
    assert {"src/small.ts", "src/one.ts", "node_modules/large/index.js"} <= set(files)


def test_plain_javascript(app: App) -> None:
    """node_modules by package, nested ones too; the rest is own code."""
    app.lay(PLAIN)
    answer = app.size()
    packages = by_name(answer["packages"])
    assert {name: one["files"] for name, one in packages.items()} == {
        "large": 2,
        "tiny": 2,
        "own code": 2,
    }
    assert all("bundle" not in one for one in answer["files"])


def test_python_by_distribution(python: tuple[App, Index]) -> None:
    """A dependency's files count under its distribution, whatever their names: modules, packages
    of other names, namespaces that two share, and own code that lies among them."""
    app, index = python
    index.wheel(
        "Big_Thing",
        requires=["small_thing"],
        files={"thing/__init__.py": b"x = 1\n" * 900, "shared/big/__init__.py": b"y = 2\n" * 50},
    )
    index.wheel("small_thing", files={"small.py": b"z = 3\n", "shared/small.py": b"\n"})
    app.lay({"src/requirements.txt": "big-thing\n", "src/thing/mine.py": "own = 1\n"})
    answer = app.size()
    packages = by_name(answer["packages"])
    assert {name: one["kind"] for name, one in packages.items()} == {
        "big-thing": "python",
        "small-thing": "python",
        "own code": "own",
    }
    whose = {one["path"]: one["package"] for one in answer["files"]}
    assert whose["thing/__init__.py"] == whose["shared/big/__init__.py"] == "big-thing"
    assert whose["small.py"] == whose["shared/small.py"] == "small-thing"
    assert whose["app.py"] == whose["thing/mine.py"] == "own code"
    assert {owner for path, owner in whose.items() if ".dist-info/" in path} == {
        "big-thing",
        "small-thing",
    }
    app.lay(
        {"src/app.py": "def handler(event, context):\n    return 2\n"}
    )  # the store has the rest
    assert {one["path"]: one["package"] for one in app.size()["files"]} == whose


def test_python_vendored_by_hand(python: tuple[App, Index]) -> None:
    """What pip installed into the code folder is told by its RECORD."""
    app, _ = python
    app.lay(
        {
            "src/lib/odd.py": "x = 1\n",
            "src/Odd_Name-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: Odd_Name\n"
            "Version: 1.0\n",
            "src/Odd_Name-1.0.dist-info/RECORD": "lib/odd.py,,\n../bin/odd,,\n"
            "Odd_Name-1.0.dist-info/METADATA,,\nOdd_Name-1.0.dist-info/RECORD,,\n",
        }
    )
    whose = {one["path"]: one["package"] for one in app.size()["files"]}
    assert whose.pop("app.py") == "own code"
    assert set(whose.values()) == {"odd-name"}


# --- the build before it -----------------------------------------------------------------------


def test_a_stale_function_is_built_first(app: App) -> None:
    """The sizes are those of the sources as they are."""
    app.lay(BUNDLED)
    before = app.size()["artifact"]
    app.lay({"src/own.ts": "export const own = 'mine, and more of it';\n"})
    assert app.size()["artifact"]["unzipped_size"] == before["unzipped_size"] + len(
        ", and more of it"
    )


def test_a_function_that_fails(app: App) -> None:
    """Why is told as by a build, with exit code 1; stdout is JSON all the same."""
    app.lay(BUNDLED)
    app.lay({"src/own.ts": "export const = 1;\n"})
    assert app.size(code=1)["diagnostics"][0]["where"]["file"] == "src/own.ts"
    assert "failed" in app.say("size", "One", code=1)
    assert "src/own.ts:1" in app.errors


def test_a_function_that_is_skipped(app: App) -> None:
    """There is nothing to measure, and that is no fault."""
    app.lay(BUNDLED)
    app.lay({"lambdad.toml": f"{BUNDLED['lambdad.toml']!s}skip = true\n"})
    assert "One is skipped" in app.say("size", "One")
    assert json.loads(app.say("size", "One", "--json"))["status"] == "skipped"


def test_lost_notes_are_made_again(app: App) -> None:
    """What a bundle was made of is told though nothing is known of its build any more."""
    app.lay(BUNDLED)
    known = app.size()
    (app.root / ".lambdad/state/makeup/One.json").write_bytes(b"torn")
    assert app.size() == known


def test_built_by_the_daemon(tmp_path: Path) -> None:
    """A daemon that runs builds it, and keeps the same notes as a build without one."""
    with site(tmp_path / "app") as place:
        write_tree(Path(place.root), BUNDLED)
        store = {"LAMBDAD_CACHE_DIR": str(cache_folder(dict(os.environ)))}
        environ = {**place.environ, **store}
        place.started(**store)
        done = place.run("size", "One", "--json", env=environ)
        assert done.returncode == 0, done.stderr
        record = Path(place.root, ".lambdad/state/One.json")
        built = record.stat()
        again = place.run("size", "One", "--json", "--compare", env=environ)
        # Nothing was missing that another build would have had to tell.
        assert record.stat() == built
        status = place.run("daemon", "status", "--json", env=environ)
        assert json.loads(status.stdout)["memory"]["esbuild"] > 0, "it was the daemon that built"
    answer = json.loads(done.stdout)
    assert "large" in by_name(answer["packages"])
    assert json.loads(again.stdout) == {**answer, "compare": None}


# --- comparing ---------------------------------------------------------------------------------


def test_compared_with_the_build_before(app: App) -> None:
    """What grew, shrank, came and went since the build before, though its zip is gone."""
    app.lay(BUNDLED)
    assert app.size("--compare")["compare"] is None
    assert "no build before" in app.say("size", "One", "--compare")
    first = app.size()["artifact"]
    app.lay(
        {
            "src/one.ts": 'import { text } from "large";\nimport fresh from "fresh";\n'
            'import { own } from "./own";\n'
            "export const handler = async () => [text, fresh, own];\n",
            "src/own.ts": "export const own = 'mine, and quite a bit longer than it was before';\n",
            **package("fresh", "module.exports = 'new here';\n"),
        }
    )
    app.say("build")
    shutil.rmtree(app.root / ".lambdad/artifacts")
    app.say("build")  # made anew, the same: that is no other build
    compared = app.size("--compare")["compare"]
    assert compared["size"] == first["size"]
    assert compared["unzipped_size"] == first["unzipped_size"]
    packages = by_name(compared["packages"])
    nothing = {"size": 0, "unzipped_size": 0}
    assert packages["fresh"]["before"] == nothing
    assert packages["@acme/small"]["now"] == packages["tiny"]["now"] == nothing
    assert (
        packages["own code"]["now"]["unzipped_size"]
        > packages["own code"]["before"]["unzipped_size"]
    )
    # Of the same bytes another part of the zip: they are compressed with other ones.
    large = packages["large"]
    assert large["before"]["unzipped_size"] == large["now"]["unzipped_size"]
    text = app.say("size", "--compare", "One")
    assert "(new)" in text
    assert "(gone)" in text
    before = compared["unzipped_size"]
    grown = [
        one["now"]["unzipped_size"] - one["before"]["unzipped_size"] for one in packages.values()
    ]
    assert sum(grown) == app.size()["artifact"]["unzipped_size"] - before


def test_compared_python(python: tuple[App, Index]) -> None:
    """A distribution of another version is the same one, grown."""
    app, index = python
    index.wheel("thing", "1.0", files={"thing/old.py": b"x = 1\n" * 10, "thing/a.py": b""})
    app.lay({"src/requirements.txt": "thing==1.0\n"})
    app.say("build")
    index.wheel("thing", "2.0", files={"thing/new.py": b"x = 1\n" * 90, "thing/a.py": b""})
    app.lay({"src/requirements.txt": "thing==2.0\n"})
    packages = by_name(app.size("--compare")["compare"]["packages"])
    grown = packages["thing"]
    assert grown["now"]["unzipped_size"] - grown["before"]["unzipped_size"] >= 480
    changed = by_name(app.size("--compare")["compare"]["files"])
    assert changed["thing/old.py"]["now"]["unzipped_size"] == 0
    assert changed["thing/new.py"]["before"]["unzipped_size"] == 0
    assert set(packages) <= {"thing", "own code"}


def test_compared_with_another_zip(app: App, tmp_path: Path) -> None:
    """Any zip will do; a bundle that it does not explain is compared as one file."""
    app.lay(BUNDLED)
    shown = app.size()
    whole = app.root / shown["artifact"]["path"]
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(whole) as ours, zipfile.ZipFile(other, "w") as theirs:
        theirs.writestr("src/", "")
        theirs.writestr("src/one.js", ours.read("src/one.js") + b"// longer")
        theirs.writestr("node_modules/extra/index.js", "1;")
    compared = app.size("--compare", str(other))["compare"]
    assert compared["whole"] == ["src/one.js"]
    assert compared["size"] == other.stat().st_size
    files = by_name(compared["files"])
    assert set(files) == {"src/one.js", "node_modules/extra/index.js"}
    before, now = files["src/one.js"]["before"], files["src/one.js"]["now"]
    assert before["unzipped_size"] == now["unzipped_size"] + len("// longer")
    assert by_name(compared["packages"])["extra"]["kind"] == "npm"
    assert app.size("--compare", str(whole))["compare"]["files"] == []
    assert "nothing grew or shrank" in app.say("size", "One", "--compare", str(whole))


def test_compared_with_what_is_no_zip(app: App, tmp_path: Path) -> None:
    """It is a wrong argument, told with exit code 2."""
    app.lay(BUNDLED)
    for content in (b"", b"PK\x05\x06", b"no zip at all" * 100):
        (tmp_path / "no.zip").write_bytes(content)
        assert app.say("size", "One", "--compare", str(tmp_path / "no.zip"), code=2) == ""
        assert "no.zip" in app.errors
    app.say("size", "One", "--compare", str(tmp_path / "nowhere.zip"), code=2)
    assert "nowhere.zip" in app.errors


# --- for people --------------------------------------------------------------------------------


def test_the_table(app: App) -> None:
    """Most first, as many files as were asked for, totals, and the share of Lambda's limits."""
    app.lay(BUNDLED)
    text = app.say("size", "One", "--files", "2")
    assert "of Lambda's 250 MiB" in text
    assert "of Lambda's 50 MiB" in text
    head, packages, files = text.split("\n\n")
    assert head.startswith("One  .lambdad/build/One.zip\n")
    assert packages.splitlines()[0].split() == ["UNZIPPED", "ZIP", "SHARE", "PACKAGE"]
    assert packages.splitlines()[1].endswith("  large (1 file)")
    assert len(files.splitlines()) == 4
    assert files.splitlines()[1].endswith("  node_modules/large/index.js")
    assert files.splitlines()[3].startswith("and ")
    assert "FILE" not in app.say("size", "One", "--files", "0")
    assert "more" not in app.say("size", "One", "--all")


def test_names_that_a_terminal_would_obey(app: App, tmp_path: Path) -> None:
    """Names of a foreign zip are shown, not sent to the terminal as they are."""
    app.lay(BUNDLED)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad:
        bad.writestr("\x1b]0;title\x07.js", "1;")
    assert "\x1b" not in app.say("size", "One", "--compare", str(tmp_path / "bad.zip"))


@pytest.mark.parametrize("arguments", [[], ["--files", "-1", "One"], ["Nope"]])
def test_wrong_usage(app: App, arguments: list[str]) -> None:
    """Exit code 2, and nothing on stdout."""
    app.lay(BUNDLED)
    assert app.say("size", *arguments, code=2) == ""


def test_a_picture_that_can_not_be_written(app: App) -> None:
    """Exit code 2, with the file's name."""
    app.lay(BUNDLED)
    app.say("size", "One", "--html", str(app.root / "no/such/folder.html"), code=2)
    assert "folder.html" in app.errors


def test_a_picture(app: App) -> None:
    """It is written where it was asked for, and the table is shown all the same."""
    app.lay(BUNDLED)
    path = app.root / "size.html"
    text = app.say("size", "One", "--html", str(path))
    assert "large (1 file)" in text
    assert "<title>node_modules/large/index.js in src/one.js: " in path.read_text()
    assert path.read_text().startswith("<!doctype html>\n")
