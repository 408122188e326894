"""`lambdad build` with nothing changed gives its last answer again, and only then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.config.find import read_project
from lambdad.bundler.inputs import snapshot
from lambdad.bundler.model import FileKey, InputSet, Stems
from lambdad.bundler.store import freshness
from lambdad.bundler.store.project_folder import ProjectFolder
from lambdad.daemon.cli import last_answer
from lambdad.daemon.client import unchanged
from lambdad.daemon.wire import quick
from tests.conftest import store_at, write_tree

KINDS = ("files", "folders", "links", "made")

APP = {
    "lambdad.toml": (
        '[functions.Web]\nruntime = "nodejs22.x"\nhandler = "web/index.handler"\n'
        '[functions.Job]\nruntime = "python3.12"\nhandler = "app.handler"\ncode = "job"\n'
    ),
    "web/index.ts": 'import { word } from "./word";\nexport const handler = async () => word;\n',
    "web/word.ts": 'export const word = "a";\n',
    "job/app.py": "def handler(event, context):\n    return 1\n",
}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """Built three times: the first run makes the folder, the second keeps its answer."""
    root = Path(os.path.realpath(tmp_path)) / "app"
    write_tree(root, APP)
    store_at(tmp_path / "cache")
    for _ in range(3):
        assert lambdad(root, "build", "--no-daemon").returncode == 0
    return root


def lambdad(root: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lambdad", *arguments],
        cwd=root,
        env={**os.environ, "LAMBDAD_CACHE_DIR": str(root.parent / "cache"), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def known_of(root: Path) -> Mapping[str, Any]:
    known = unchanged.read(str(root), os.environ)
    assert known is not None
    return known


def is_kept(root: Path) -> bool:
    known = unchanged.read(str(root), os.environ)
    return known is not None and unchanged.holds(str(root), known)


def test_it_answers_as_the_whole_command_does(app: Path) -> None:
    """The same lines, JSON and exit code as a run that looks for itself."""
    assert is_kept(app)
    for arguments in (["--json"], [], ["--verbose"], ["Web", "--json"], ["Nope"]):
        quickly = lambdad(app, "build", *arguments)
        slowly = lambdad(app, "build", "--no-daemon", "--offline", *arguments)
        assert quickly.returncode == slowly.returncode
        assert quickly.stdout == slowly.stdout
    last = lambdad(app, "build").stderr
    assert last.startswith("2 unchanged in ")


def test_it_imports_little(app: Path) -> None:
    """No argument parser, no reader of configuration, no model."""
    code = (
        "import sys; from lambdad.daemon.client import unchanged\n"
        "assert unchanged.main([]) == 0\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=app,
        env={**os.environ, "LAMBDAD_CACHE_DIR": str(app.parent / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {
        "click",
        "yaml",
        "json",
        "re",
        "dataclasses",
        "typing",
        "hashlib",
        "lambdad.bundler.model",
    }
    assert set(done.stdout.split()) & heavy == set()


def observed(root: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """The same, as the bundler sees it now."""
    place = f"{root}/"
    inputs = InputSet(
        files=frozenset(known["files"]),
        links=frozenset(known["links"]),
        listings={path: Stems(frozenset()) for path in known["folders"]},
    )
    seen = snapshot.observe(str(root), inputs)

    def plain(key: FileKey | None) -> list[int] | None:
        return None if key is None else list(key)

    return {
        "files": {path: plain(key) for path, key in seen.files.items()},
        "links": {path: plain(key) for path, key in seen.links.items()},
        "folders": {path: plain(listing.key) for path, listing in seen.listings.items()},
        "made": {
            path: list(key)
            for path in known["made"]
            if os.path.exists(place + path)
            for key in freshness.made(ProjectFolder(str(root)), [path]).values()
        },
    }


def _touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def _remove(path: Path) -> None:
    path.rename(path.with_name(path.name + ".away"))


def _replace(path: Path) -> None:
    """By an equal one: every program that saves by renaming does so."""
    if path.is_dir():
        path.rename(path.with_name(path.name + ".away"))
        path.mkdir()
        return
    other = path.with_name(path.name + ".new")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [_touch, _remove, _replace])
def test_whatever_moves_ends_it(app: Path, change: Callable[[Path], None]) -> None:
    """Each input and each output in turn, and what was looked for and absent appears."""
    known = known_of(app)
    assert observed(app, known) == {kind: known[kind] for kind in KINDS}
    changed = 0
    for path in sorted({path for kind in KINDS for path in known[kind]}):
        place = app / path
        if path.startswith("..") or path == ".":
            continue  # a folder above the project belongs to other tests, too
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("{}")
        elif change is _touch and place.is_dir() and path not in known["folders"]:
            continue  # what happens in a folder that is not listed decides nothing
        else:
            change(place)
        assert not unchanged.holds(str(app), {**known, **observed_but(known, path, app)}), path
        changed += 1
    assert changed > 15


def observed_but(known: Mapping[str, Any], path: str, root: Path) -> dict[str, Any]:
    """What is there now, but for the key of one path, which is as it was."""
    now = observed(root, known)
    for kind in KINDS:
        if path in known[kind]:
            now[kind][path] = known[kind][path]
    return now


def test_an_edit_is_built(app: Path) -> None:
    """The command line that follows an edit, and the one after it."""
    before = json.loads(lambdad(app, "build", "--json").stdout)
    write_tree(app, {"web/word.ts": 'export const word = "b";\n'})
    after = json.loads(lambdad(app, "build", "--json").stdout)
    assert [item["cached"] for item in after["functions"]] == [True, False] or [
        item["cached"] for item in after["functions"]
    ] == [False, True]
    again = json.loads(lambdad(app, "build", "--json").stdout)
    assert before["functions"] != after["functions"]
    assert all(item["cached"] for item in again["functions"])
    assert {item["name"]: item["artifact"] for item in again["functions"]} == {
        item["name"]: item["artifact"] for item in after["functions"]
    }


def test_an_answer_is_kept_with_its_own_builds_alone(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a command shows its answer another process may build a function anew: what that
    recorded does not prove the older answer."""
    monkeypatch.setenv("LAMBDAD_CACHE_DIR", str(app.parent / "cache"))
    path = app / ".lambdad/state/build/last.json"
    older = json.loads(lambdad(app, "build", "--json").stdout)
    write_tree(app, {"web/word.ts": 'export const word = "newer";\n'})
    for _ in range(3):
        newer = json.loads(lambdad(app, "build", "--json", "--no-daemon").stdout)
    began = last_answer.begin(str(app))
    project = read_project(str(app), dict(os.environ))
    path.unlink()
    last_answer.keep(began, project, [], project.functions, older)
    assert not path.exists()
    last_answer.keep(began, project, [], project.functions, newer)
    assert is_kept(app)


@pytest.mark.parametrize("text", ["{}", "[", '{"functions": {"Web": {"sha256": "0"}}}'])
def test_a_manifest_that_another_program_wrote_is_not_kept(
    app: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Else it would never be mended."""
    monkeypatch.setenv("LAMBDAD_CACHE_DIR", str(app.parent / "cache"))
    answer = json.loads(lambdad(app, "build", "--json").stdout)
    began = last_answer.begin(str(app))
    project = read_project(str(app), dict(os.environ))
    (app / ".lambdad/state/build/last.json").unlink()
    (app / ".lambdad/build/manifest.json").write_text(text)
    last_answer.keep(began, project, [], project.functions, answer)
    assert unchanged.read(str(app), os.environ) is None


def test_a_forged_answer_is_none(app: Path) -> None:
    """A byte of it changed, another project's, another key's, one behind a symlink."""
    path = app / ".lambdad/state/build/last.json"
    whole = path.read_bytes()
    for at in (0, 63, 64, 65, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert unchanged.read(str(app), os.environ) is None
    path.write_bytes(whole[:-1])
    assert unchanged.read(str(app), os.environ) is None
    path.write_bytes(whole)
    assert is_kept(app)
    other = app.parent / "other"
    subprocess.run(["cp", "-a", app, other], check=True)
    assert unchanged.read(str(other), os.environ) is None
    state = {**os.environ, "XDG_STATE_HOME": str(app.parent / "state")}
    assert unchanged.read(str(app), state) is None
    path.rename(path.with_name("real.json"))
    path.symlink_to("real.json")
    assert unchanged.read(str(app), os.environ) is None


@pytest.mark.parametrize("part", [".lambdad", ".lambdad/state", ".lambdad/state/build"])
def test_no_symlink_leads_to_it(app: Path, part: str) -> None:
    """None of the folders on the way may be one."""
    place = app / part
    place.rename(app.parent / "elsewhere")
    place.symlink_to(app.parent / "elsewhere")
    assert unchanged.read(str(app), os.environ) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["--locked"],
        ["--offline"],
        ["--verify=hash"],
        ["--template", "x"],
        ["--help"],
        ["--timeout=1"],
    ],
)
def test_other_command_lines_look_for_themselves(
    app: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not the plain command is not answered."""
    monkeypatch.chdir(app)
    assert unchanged.main(arguments) is None


def test_another_environment_looks_for_itself(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexes, and whatever else decides what a build takes."""
    monkeypatch.chdir(app)
    monkeypatch.setenv("LAMBDAD_CACHE_DIR", str(app.parent / "cache"))
    assert unchanged.main([]) == 0
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    assert unchanged.main([]) is None


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    """A function that fails is looked at again each time."""
    root = Path(os.path.realpath(tmp_path)) / "app"
    write_tree(root, {**APP, "web/word.ts": "export const = ;"})
    for _ in range(3):
        assert lambdad(root, "build", "--no-daemon").returncode == 1
    assert unchanged.read(str(root), os.environ) is None


@pytest.mark.parametrize(
    "environ",
    [
        {"XDG_STATE_HOME": "", "HOME": ""},
        {"XDG_STATE_HOME": "relative", "HOME": "relative"},
        {"XDG_STATE_HOME": "APP"},
        {"XDG_STATE_HOME": "APP/.lambdad/state"},
    ],
)
def test_a_state_folder_that_a_project_could_bring_is_none(
    app: Path, environ: dict[str, str]
) -> None:
    """Nor one that has no fixed place."""
    real = Path(os.environ["XDG_STATE_HOME"]) / "lambdad"
    for name in ("", ".lambdad/state"):
        subprocess.run(["cp", "-a", real, app / name / "lambdad"], check=True)
    said = {name: value.replace("APP", str(app)) for name, value in environ.items()}
    assert unchanged.read(str(app), {**os.environ, **said}) is None


def test_hmac_is_the_standard_librarys() -> None:
    """Of keys of up to a block's length, and of any content."""
    import hmac

    for size in (0, 1, 32, 63, 64):
        key = bytes(range(size))
        for content in (b"", b"x", b"y" * 1000):
            assert quick.hmac(key, content) == hmac.digest(key, content, "sha256")
