"""Saves: which functions hold a file, which of them are rebuilt, and what is told of the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lambdad.daemon.serving import holders
from tests.bundler.inputs.test_snapshot import wait_for_tick
from tests.daemon.serving.test_server import codes, statuses
from tests.support.served import APP, PYTHON, TEMPLATE, Served, served

MANY = 12
NAMES = [f"F{number:02}" for number in range(MANY)]
SHARED = {
    "template.yaml": TEMPLATE + "".join(PYTHON.format(name=name, code="src") for name in NAMES),
    "src/app.py": "from words import WORD\ndef handler(event, context):\n    return WORD\n",
    "src/words.py": "WORD = 'one'\n",
}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as found:
        yield found


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Served]:
    """Functions that share all of their code, each built as a zip."""
    with served(tmp_path, SHARED) as found:
        wait_for_tick(found.site.root)
        assert found.fresh(want="zip")["ok"]
        yield found


def kinds(answer: Any) -> dict[str, str]:
    """As what each function was rebuilt."""
    return {
        found["name"]: "live" if "live" in found else "zip" if "artifact" in found else ""
        for found in answer["functions"]
    }


# --- who holds a file --------------------------------------------------------------------------


def test_a_function_known_by_its_zip_alone(app: Served) -> None:
    """It is found, and its zip is what is built again; a live tree of it nobody asked for."""
    app.fresh("One", want="zip")
    app.lay({"one/app.py": "def handler(event, context):\n    return 'new'\n"})
    answer = app.save("one/app.py")
    assert kinds(answer) == {"One": "zip"}
    assert not list(app.root.glob(".lambdad/state/live/*.json"))
    app.fresh("One")
    app.lay({"one/app.py": "def handler(event, context):\n    return 'newer'\n"})
    assert kinds(app.save("one/app.py")) == {"One": "live"}  # wanted last
    app.fresh("One", want="zip")
    app.lay({"one/app.py": "def handler(event, context):\n    return 'newest'\n"})
    assert kinds(app.save("one/app.py")) == {"One": "zip"}


@pytest.mark.parametrize(
    ("file", "held"),
    [
        ("one/app.py", {"One"}),
        ("one/notes.md", {"One"}),  # all of the folder goes into the zip
        ("one/deep/er/file.txt", {"One"}),
        ("one/.venv/lib/x.py", set()),
        ("one/__pycache__/app.pyc", set()),
        ("one/app.py~", set()),
        ("web/web.ts", {"Web"}),
        ("web/unknown.ts", {"Web"}),
        ("web/data.json", {"Web"}),
        ("web/README.md", set()),  # no bundle holds it
        ("web/node_modules/a/index.js", set()),
        ("onefold/app.py", set()),
        ("README.md", set()),
    ],
)
def test_a_function_that_was_never_built(app: Served, file: str, held: set[str]) -> None:
    """It holds what its code folder does, less what a build would leave out."""
    (app.root / file).parent.mkdir(parents=True, exist_ok=True)
    if not (app.root / file).exists():
        (app.root / file).write_text("{}")
    answer = app.save(file)
    assert set(statuses(answer)) == held
    assert set(kinds(answer).values()) <= {"live"}


def test_its_loaders_say_what_a_bundle_holds(app: Served) -> None:
    """A file of a kind that the function's own options load counts before the first build."""
    own = '[functions.Web.esbuild]\nloader = {".txt" = "text"}\n'
    app.lay({"lambdad.toml": own, "web/a.txt": "", "web/a.csv": ""})
    assert set(statuses(app.save("web/a.txt"))) == {"Web"}
    assert statuses(app.save("web/a.csv")) == {"Web": "built"} or not statuses(
        app.save("web/a.csv")
    )


def test_only_what_counts_is_held_once_it_is_built(app: Served) -> None:
    """Beside a bundle's modules a file that nothing imports is nobody's; one that could be is."""
    app.lay({"web/word.test.ts": ""})  # its coming and going would count, and it stays
    wait_for_tick(app.site.root)
    app.fresh()
    app.lay({"web/word.test.ts": "test()"})
    assert app.save("web/word.test.ts")["functions"] == []
    app.lay({"web/other.ts": "", "web/README.md": "", "README.md": "", "web/web.test.ts": ""})
    for path in ("web/other.ts", "web/README.md", "README.md", ".git/index"):
        assert app.save(path)["functions"] == [], path
    app.lay({"web/word.js": 'export const word = "by js";\n'})
    app.lay({"web/tsconfig.json": "{}"})
    assert set(statuses(app.save("web/tsconfig.json"))) == {"Web"}
    app.lay({"one/new/module.py": ""})
    assert set(statuses(app.save("one/new/module.py"))) == {"One"}


def test_a_symlinked_folder(app: Served) -> None:
    """A file is found by its real path where the build came to it through a symlink."""
    app.lay({"real/words.py": "WORD = 1\n"})
    (app.root / "one/lib").symlink_to("../real")
    (app.root / "alias").symlink_to("two")
    app.lay({"template.yaml": TEMPLATE + PYTHON.format(name="One", code="one")
             + PYTHON.format(name="Alias", code="alias")})  # fmt: skip
    assert set(statuses(app.save("two/app.py"))) == {"Alias"}  # never built
    app.fresh()
    app.lay(
        {"real/words.py": "WORD = 2\n", "two/app.py": "def handler(event, context): return 2\n"}
    )
    assert set(statuses(app.save("real/words.py"))) == {"One"}
    assert set(statuses(app.save(str(app.root / "one/lib/words.py")))) == {"One"}
    assert set(statuses(app.save("two/app.py"))) == {"Alias"}


def test_a_folder_stands_for_its_files(app: Served) -> None:
    """One that was removed or renamed."""
    app.lay({"one/lib/words.py": "WORD = 1\n", "web/lib/deep/w.ts": 'export const w = "w";\n'})
    app.lay({"web/word.ts": 'export { w as word } from "./lib/deep/w";\n'})
    wait_for_tick(app.site.root)
    app.fresh()
    assert set(statuses(app.save("web/lib"))) == {"Web"}
    (app.root / "web/lib").rename(app.root / "web/moved")
    assert statuses(app.save("web/lib")) == {"Web": "failed"}
    (app.root / "one/lib").rename(app.root / "one/moved")
    assert set(statuses(app.save("one/lib"))) == {"One"}
    assert set(statuses(app.save("one/moved"))) == {"One"}


# --- configuration -----------------------------------------------------------------------------


def test_a_template_is_held_by_whom_it_changes(app: Served) -> None:
    """An edit for one function rebuilds that one; a new function is built; the others rest."""
    app.fresh("One", "Two")
    template = str(APP["template.yaml"])
    assert app.save("template.yaml")["functions"] == []
    edited = template.replace("CodeUri: two", "CodeUri: two\n      Handler: app.other")
    app.lay({"template.yaml": edited, "two/app.py": "def other(event, context): ...\n"})
    answer = app.save("template.yaml")
    assert statuses(answer) == {"Two": "built"}
    assert answer["functions"][0]["handler"] == "app.other"
    app.lay({"template.yaml": edited + PYTHON.format(name="New", code="one")})
    for _ in range(2):  # an editor and its language server both tell of the save
        assert statuses(app.save("template.yaml")) == {"New": "built"}


def test_a_new_function_is_built_whoever_saw_it_first(app: Served) -> None:
    """Another request that came between the edit and the save takes nothing away from it."""
    app.fresh("One")
    app.lay({"template.yaml": str(APP["template.yaml"]) + PYTHON.format(name="New", code="one")})
    app.fresh("One")
    assert statuses(app.save("template.yaml")) == {"New": "built"}


def test_what_is_wrong_with_a_declaration_is_told(app: Served) -> None:
    """To who saves the template; to who removes the handler; not to who saves something else."""
    app.fresh()
    template = str(APP["template.yaml"])
    app.lay({"template.yaml": template + PYTHON.format(name="New", code="nowhere")})
    answer = app.save("template.yaml")
    assert (answer["ok"], statuses(answer)) == (False, {"New": "failed"})
    assert codes(answer) == ["missing-code"]
    assert app.save("README.md")["ok"]
    app.lay({"template.yaml": template})
    assert app.save("template.yaml")["ok"]
    (app.root / "web/web.ts").unlink()
    answer = app.save("web/web.ts")
    assert (answer["ok"], statuses(answer)) == (False, {"Web": "failed"})


def test_a_broken_template_is_told_to_who_saves_it(app: Served) -> None:
    """Its place is in the answer; a save of a file that nobody holds stays silent."""
    app.fresh()
    app.lay({"template.yaml": "Resources: [\n"})
    answer = app.save("template.yaml")
    assert not answer["ok"]
    assert answer["diagnostics"][0]["where"]["file"] == "template.yaml"
    answer = app.save("README.md")
    assert (answer["ok"], answer["diagnostics"], answer["functions"]) == (True, [], [])


def test_own_options_and_locks(app: Served) -> None:
    """lambdad.toml that appears, changes and goes; a requirements file that appears."""
    wait_for_tick(app.site.root)
    app.fresh(want="zip")
    app.lay({"lambdad.toml": '[functions.One]\nexclude = ["*.md"]\n'})
    assert statuses(app.save("lambdad.toml")) == {"One": "built"}
    app.lay({"lambdad.toml": '[functions.Two]\nexclude = ["*.md"]\n'})
    assert statuses(app.save("lambdad.toml")) == {"One": "built", "Two": "built"}
    (app.root / "lambdad.toml").unlink()
    assert statuses(app.save("lambdad.toml")) == {"Two": "built"}
    app.lay({"two/requirements.txt": "../nowhere\n"})
    assert statuses(app.save("two/requirements.txt")) == {"Two": "failed"}


# --- how many ----------------------------------------------------------------------------------


def test_the_lately_wanted_are_rebuilt_and_the_rest_counted(many: Served) -> None:
    """Up to 8, in the order in which they were wanted; `status` names those left stale, until they
    are built."""
    for name in ("F03", "F11"):
        many.fresh(name, want="zip")
    many.lay({"src/words.py": "WORD = 'two'\n"})
    answer = many.save("src/words.py")
    names = [found["name"] for found in answer["functions"]]
    assert names[:2] == ["F11", "F03"]
    assert (len(names), answer["ok"]) == (holders.MOST, True)
    assert [found["status"] for found in answer["functions"]] == ["built"] * holders.MOST
    left = set(NAMES) - set(names)
    # Some may have been built ahead meanwhile, because they were wanted lately.
    assert answer.get("stale", 0) <= len(left)
    assert many.fresh(want="zip")["ok"]
    states = many.call("GET", "/v1/status").json["functions"]
    assert {found["state"] for found in states.values()} == {"idle"}


def test_what_was_not_wanted_lately_is_left_stale(many: Served) -> None:
    """A daemon that was asked for nothing yet builds nothing ahead: the rest is stale, and said to
    be; saved unchanged, nothing is."""
    site = many.site
    assert site.run("daemon", "restart").returncode == 0
    answer = many.save("src/words.py")
    assert [found["cached"] for found in answer["functions"]] == [True] * holders.MOST
    assert "stale" not in answer
    many.lay({"src/words.py": "WORD = 'two'\n"})
    answer = many.save("src/words.py")
    assert [found["cached"] for found in answer["functions"]] == [False] * holders.MOST
    assert answer["stale"] == MANY - holders.MOST
    states = many.call("GET", "/v1/status").json["functions"]
    stale = {name for name, found in states.items() if found["state"] == "stale"}
    assert stale == set(NAMES[holders.MOST :])
    many.fresh(NAMES[-1], want="zip")
    states = many.call("GET", "/v1/status").json["functions"]
    assert states[NAMES[-1]]["state"] == "idle"


def test_many_saves_at_once(many: Served) -> None:
    """Of the same file, of others and of none: each answer is whole, and the last edit is built."""
    paths = ["src/words.py", "src/app.py", "README.md", "template.yaml", "src/new.py"]

    def save(number: int) -> Any:
        if number % 5 == 0:
            many.lay({"src/words.py": f"WORD = 'n{number:03}'\n"})
        return many.call("POST", "/v1/save", {"files": [paths[number % len(paths)]]}).json

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(save, range(60)))
    assert all(answer["ok"] for answer in answers), json.dumps(answers)
    assert {len(answer["functions"]) for answer in answers} <= {0, holders.MOST}
    text = (many.root / "src/words.py").read_text()
    assert many.one("F00", "zip")["status"] == "built"
    import zipfile

    with zipfile.ZipFile(many.root / ".lambdad/build/F00.zip") as archive:
        assert archive.read("words.py").decode() == text
    assert many.call("GET", "/v1/status").json["waiting"] == 0
