"""ruff as it is run: whose it is, what is kept of its answers, and all that can go wrong."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.bundler import tools
from lambdad.bundler.inputs.reading import read_regular
from lambdad.bundler.lint import gate, ruff, ruff_binary, ruff_run, text, tool
from lambdad.bundler.lint.ruff_run import Call
from lambdad.bundler.lint.tool import Batch, Findings
from lambdad.bundler.model import BundlerError, Severity
from lambdad.bundler.store.output import Output
from lambdad.bundler.workshop import Workshop
from tests.conftest import Tree
from tests.support.lint_cases import workshop_at
from tests.support.samples import function

OURS = ruff_binary.ours()
FOUND = ("F401", "F821")
BAD = "import os\n\nprint(undefined)\n"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    root = tmp_path / "project"
    root.mkdir()
    Output(str(root)).prepare()
    return workshop_at(root)


def lint(workshop: Workshop, *files: str, **options: Any) -> Findings:
    held = options.pop("held", ())
    batch = Batch(files=files, holders={path: held for path in files if held}, **options)
    return ruff.lint(batch, files, workshop)


def codes(found: Findings) -> dict[str, tuple[str, ...]]:
    return {path: tuple(item.code for item in items) for path, items in found.files.items()}


def failures(found: Findings) -> list[str]:
    """Each has a way out."""
    assert all(item.hint for item in found.failed)
    return [f"{item.severity.value} {item.code}" for item in found.failed]


def fake(workshop: Workshop, script: str) -> Path:
    """A ruff of the project's own: a shell script that finds the real one in $RUFF."""
    path = Path(workshop.root, ".venv/bin/ruff")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nRUFF={shlex.quote(OURS)}\n{script}\n")
    path.chmod(0o755)
    return path


def says(answer: object, code: int = 0) -> str:
    shown = answer if isinstance(answer, str) else json.dumps(answer)
    return f"printf '%s' {shlex.quote(shown)}; exit {code}"


# --- files ---------------------------------------------------------------------------------------


def test_files_that_are_no_text(workshop: Workshop, lay: Callable[[Tree], None]) -> None:
    """What ruff can't read is told, each file with its own fault, and the others are linted."""
    lay(
        {
            "bad.py": BAD,
            "binary.py": b"\x7fELF\0\0\0\xff",
            "other.py": b"# -*- coding: latin-1 -*-\nname = '\xe9'\n",
            "utf8.py": b"import os\nname = '\xc3\xa9'; other = '\xe9'\n",
            "folder.py/inner.txt": "",
        }
    )
    os.mkfifo(Path(workshop.root, "fifo.py"))
    names = ("bad.py", "binary.py", "fifo.py", "folder.py", "gone.py", "other.py", "utf8.py")
    found = lint(workshop, *names)
    assert codes(found) == {
        "bad.py": FOUND,
        "binary.py": ("syntax-error",),
        "other.py": ("lint-encoding",),
        "utf8.py": ("syntax-error",),
    }
    assert found.failed == ()
    (item,) = found.files["utf8.py"]
    assert item.where is not None
    assert (item.where.line, item.where.column) == (2, 22)


def test_unreadable_file(
    workshop: Workshop, lay: Callable[[Tree], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may not be read is an error of its own. (Root may read all: so it is feigned.)"""
    lay({"secret.py": BAD, "bad.py": BAD})

    def refuse(path: str, most: int) -> bytes:
        if path.endswith("secret.py"):
            raise PermissionError(13, "Permission denied")
        return read_regular(path, most)

    monkeypatch.setattr(text, "read_regular", refuse)
    assert codes(lint(workshop, "bad.py", "secret.py")) == {
        "bad.py": FOUND,
        "secret.py": ("unreadable-file",),
    }


def test_odd_names(workshop: Workshop, lay: Callable[[Tree], None]) -> None:
    """A file's name is never an option, a pattern or several arguments."""
    names = ["--fix.py", "-.py", "a b.py", "ü[1].py", "x;y.py"]
    lay(dict.fromkeys(names, BAD))
    assert codes(lint(workshop, *names)) == dict.fromkeys(names, FOUND)


def test_more_files_than_one_call_takes(
    workshop: Workshop, lay: Callable[[Tree], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many files are several calls, and none is lost."""
    monkeypatch.setattr(ruff_run, "_AT_ONCE", 2)
    names = [f"m{number}.py" for number in range(5)]
    lay(dict.fromkeys(names, BAD))
    assert codes(lint(workshop, *names)) == dict.fromkeys(names, FOUND)


def test_nothing_is_written(workshop: Workshop, lay: Callable[[Tree], None]) -> None:
    """A project whose configuration says `fix = true` is not changed, nor given a cache."""
    lay({"bad.py": BAD, "ruff.toml": "fix = true\nunsafe-fixes = true\nfix-only = true\n"})
    assert codes(lint(workshop, "bad.py")) == {"bad.py": FOUND}
    assert Path(workshop.root, "bad.py").read_text() == BAD
    assert not Path(workshop.root, ".ruff_cache").exists()


# --- whose ruff ----------------------------------------------------------------------------------


def test_the_project_s_own(workshop: Workshop, lay: Callable[[Tree], None]) -> None:
    """The ruff of the nearest virtual environment is run where the project is trusted; where not,
    ours is, and that is said once."""
    lay({"bad.py": BAD, "inner/bad.py": BAD})
    log = Path(workshop.root, "log")
    fake(workshop, f'echo ran >> {log}\nexec "$RUFF" "$@"')
    both = ("bad.py", "inner/bad.py")
    found = lint(workshop, *both)
    assert failures(found) == ["info lint-untrusted"]
    assert codes(found) == dict.fromkeys(both, FOUND)
    assert not log.exists()
    found = lint(workshop, *both, trusted=True)
    assert failures(found) == []
    assert log.read_text() == "ran\n"


def test_the_active_environment(
    workshop: Workshop, lay: Callable[[Tree], None], tmp_path: Path
) -> None:
    """One that lies elsewhere counts if it is active: by VIRTUAL_ENV, or on PATH."""
    lay({"bad.py": BAD})
    elsewhere = tmp_path / "elsewhere"
    moved = fake(workshop, says([])).rename(tmp_path / "ruff")
    (elsewhere / "bin").mkdir(parents=True)
    (elsewhere / "pyvenv.cfg").touch()
    moved.rename(elsewhere / "bin" / "ruff")
    for environ in (
        {"VIRTUAL_ENV": str(elsewhere)},
        {"PATH": f"{elsewhere}/bin:{os.environ['PATH']}"},
    ):
        there = workshop_at(Path(workshop.root), **environ)
        assert codes(lint(there, "bad.py", trusted=True)) == {"bad.py": ()}
        assert codes(lint(there, "bad.py")) == {"bad.py": FOUND}


def test_not_from_above_the_repository(
    workshop: Workshop, lay: Callable[[Tree], None], tmp_path: Path
) -> None:
    """An environment above the repository is nobody's of this project."""
    lay({"bad.py": BAD})
    fake(workshop, says([]))
    Path(workshop.root, ".venv").rename(tmp_path / ".venv")
    assert codes(lint(workshop, "bad.py", trusted=True)) == {"bad.py": FOUND}


def test_none_at_all(
    workshop: Workshop, lay: Callable[[Tree], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no ruff, one diagnostic says how to have one."""
    lay({"a.py": BAD, "b.py": BAD})

    def missing() -> str:
        raise BundlerError("lint-tool", "ruff is not installed", "install it")

    monkeypatch.setattr(ruff_binary, "ours", missing)
    assert failures(lint(workshop, "a.py", "b.py")) == ["error lint-tool"]


# --- a ruff that fails ---------------------------------------------------------------------------

ITEM = {
    "filename": "bad.py",
    "code": "X1",
    "message": "m",
    "location": {"row": 1, "column": 1},
}

FAILING = {
    "garbage": says("what?"),
    "nothing": "exit 0",
    "binary": "printf '\\377\\376[]'",
    "no list": says({"a": 1}),
    "no findings": says([1, 2]),
    "half": says(json.dumps([ITEM])[:-9]),
    "no place": says([{**ITEM, "location": None}]),
    "words for numbers": says([{**ITEM, "location": {"row": "x", "column": 1}}]),
    "deep": "head -c 200000 /dev/zero | tr '\\0' '['",
    "crash": "echo boom >&2; exit 101",
    "hangs": "sleep 600",
    "no program": "",
}
UNREAD = json.dumps(
    [
        {
            "filename": "bad.py",
            "code": "E902",
            "message": "Too many open files (os error 24)",
            "location": {"row": 1, "column": 1},
        }
    ]
)
BY_MACHINE = {
    "killed": ("kill -9 $$", "tool-killed"),
    "ended": ("kill -TERM $$", "tool-killed"),
    "aborted": ("echo memory allocation of 4096 bytes failed >&2; kill -ABRT $$", "tool-killed"),
    "disk": ("echo '  Cause: No space left on device (os error 28)' >&2; exit 2", "disk-full"),
    "threads": ("echo failed to spawn thread >&2; exit 101", "system-limit"),
    "files": (f"echo {shlex.quote(UNREAD)}; exit 1", "system-limit"),
}
"""What the system does to it, and the diagnostic's code."""


@pytest.mark.parametrize("name", BY_MACHINE)
def test_a_ruff_that_the_machine_fails(
    workshop: Workshop, lay: Callable[[Tree], None], name: str
) -> None:
    """That is no finding and no absence of findings: nothing is kept, and it is tried again."""
    script, code = BY_MACHINE[name]
    lay({"bad.py": BAD})
    binary = fake(workshop, script)
    found = lint(workshop, "bad.py", trusted=True)
    assert failures(found) == [f"error {code}"]
    assert found.machine_fault
    assert codes(found) == {}
    binary.write_text(f'#!/bin/sh\nexec {shlex.quote(OURS)} "$@"\n')
    found = lint(workshop, "bad.py", trusted=True)
    assert codes(found) == {"bad.py": FOUND}
    assert not found.machine_fault


@pytest.mark.parametrize("level", ["warn", "error"])
def test_the_machine_fails_lint_before_a_build(
    workshop: Workshop, lay: Callable[[Tree], None], level: str
) -> None:
    """Where lint decides whether a function is built, that failure is the machine's, too."""
    one = function(lint=level)
    lay({"src/app.py": BAD})
    fake(workshop, "kill -9 $$")
    found = gate.findings([one], workshop)
    assert found.machine_fault
    (item,) = found.by_function[one.name]
    assert item.code == "tool-killed"
    assert gate.refuses([item]) == (level == "error")
    assert gate.failed(one, [item], workshop, machine_fault=found.machine_fault).machine_fault


@pytest.mark.parametrize("name", FAILING)
def test_a_ruff_that_fails(
    workshop: Workshop, lay: Callable[[Tree], None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever it does instead of answering, one diagnostic tells it, and nothing is kept."""
    lay({"bad.py": BAD, "worse.py": BAD})
    binary = fake(workshop, FAILING[name])
    if name == "no program":
        binary.write_text("neither a script nor a program")
    monkeypatch.setattr(tool, "TIMEOUT_S", 0.3 if name == "hangs" else 60.0)
    found = lint(workshop, "bad.py", "worse.py", trusted=True)
    assert failures(found) == ["error lint-tool"]
    assert codes(found) == {}
    binary.unlink()
    assert codes(lint(workshop, "bad.py", trusted=True)) == {"bad.py": FOUND}


def test_an_older_ruff(workshop: Workshop, lay: Callable[[Tree], None]) -> None:
    """One that knows neither the newest Python, nor codes for syntax, nor JSON of a format."""
    lay({"bad.py": BAD, "odd.py": "x=1\n"})
    old = json.dumps([{**ITEM, "code": None, "message": "SyntaxError: no"}])
    fake(
        workshop,
        f"""case "$*" in
        *target-version*) echo "error: invalid value for '--target-version'" >&2; exit 2;;
        format*output-format*) echo "error: unexpected argument '--output-format'" >&2; exit 2;;
        format*) echo "Would reformat: odd.py"; exit 1;;
        *) printf '%s' '{old}'; exit 1;;
        esac""",
    )
    found = lint(
        workshop, "bad.py", "odd.py", trusted=True, held=(function(),), formatting={"odd.py"}
    )
    assert found.failed == ()
    assert codes(found) == {"bad.py": ("invalid-syntax",), "odd.py": ("unformatted",)}
    assert found.files["bad.py"][0].severity is Severity.ERROR


answers = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.just("bad.py"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(ITEM)), inner, max_size=4)
    ),
    max_leaves=12,
)
items = st.lists(
    st.fixed_dictionaries({name: st.just(value) | answers for name, value in ITEM.items()}),
    max_size=3,
)


@given(
    answer=answers | items | st.text() | st.just(""),
    code=st.sampled_from([0, 1, 2, 101, -9]),
    stderr=st.text() | st.just("ruff failed\n  Cause: Failed to parse /a/ruff.toml\n  Cause: x"),
    command=st.sampled_from(["check", "format"]),
)
@settings(max_examples=300)
def test_any_answer(
    tmp_path_factory: pytest.TempPathFactory, answer: Any, code: int, stderr: str, command: str
) -> None:
    """Whatever is printed gives findings or one diagnostic, never a crash."""
    root = tmp_path_factory.getbasetemp()
    shown = answer if isinstance(answer, str) else json.dumps(answer)
    done = tools.Completed(code, shown, stderr)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tools, "run", lambda *_arguments, **_options: done)
        call = Call("ruff", command, None)
        found = ruff_run.run(call, ["bad.py"], lambda _path: "", workshop_at(root))
    assert len(found.failed) == (not found.files)
    assert found.files.keys() <= {"bad.py"}
    for item in found.files.get("bad.py", ()):
        assert item.where is not None
        assert item.where.file == "bad.py"


# --- configuration -------------------------------------------------------------------------------

BROKEN = {
    "not TOML": ("[lint\n", 1, "unclosed"),
    "another type": ('line-length = "x"\n', 1, "expected i64"),
    "unknown key": ("nope = 1\n", 1, "unknown field"),
    "unknown rule": ('[lint]\nselect = ["NOPE9"]\n', None, "NOPE9"),
    "another version": ('required-version = "==0.0.1"\n', None, "0.0.1"),
    "extends nothing": ('extend = "gone.toml"\n', None, "gone.toml"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_configuration(workshop: Workshop, lay: Callable[[Tree], None], name: str) -> None:
    """A configuration that ruff refuses is told once, at its place; files of others are linted."""
    content, line, part = BROKEN[name]
    lay({"inner/ruff.toml": content, "inner/a.py": BAD, "inner/b.py": BAD, "bad.py": BAD})
    found = lint(workshop, "bad.py", "inner/a.py", "inner/b.py")
    assert failures(found) == ["error lint-config"]
    assert codes(found) == {"bad.py": FOUND}
    assert part in found.failed[0].message
    if line is not None:
        assert found.failed[0].where is not None
        assert (found.failed[0].where.file, found.failed[0].where.line) == ("inner/ruff.toml", line)


def test_ruff_s_environment_is_not_ours(workshop: Workshop, lay: Callable[[Tree], None]) -> None:
    """Variables of ruff's own change nothing of how it answers."""
    lay({"bad.py": BAD})
    there = workshop_at(Path(workshop.root), RUFF_OUTPUT_FORMAT="full", RUFF_OUTPUT_FILE="out.txt")
    assert codes(lint(there, "bad.py")) == {"bad.py": FOUND}
    assert not Path(workshop.root, "out.txt").exists()


# --- what is kept --------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the files of each call of ruff."""
    calls: list[list[str]] = []
    run = tools.run

    def counted(arguments: Sequence[str], **options: Any) -> tools.Completed:
        names = arguments[list(arguments).index("--") + 1 :]
        calls.append(sorted(os.path.basename(name) for name in names))
        return run(arguments, **options)

    monkeypatch.setattr(tools, "run", counted)
    return calls


def test_only_what_changed(
    workshop: Workshop, lay: Callable[[Tree], None], asked: list[list[str]]
) -> None:
    """A file is linted again when its content changed, not when its time did."""
    lay({"a.py": BAD, "b.py": BAD})
    first = lint(workshop, "a.py", "b.py")
    os.utime(Path(workshop.root, "b.py"), (1, 1))
    lay({"a.py": "x = 1\n"})
    assert codes(lint(workshop, "a.py", "b.py")) == {"a.py": (), "b.py": FOUND}
    lay({"a.py": BAD})
    assert lint(workshop, "a.py", "b.py") == first
    assert asked == [["a.py", "b.py"], ["a.py"], ["a.py"]]


DECIDING: dict[str, Tree] = {
    "its configuration": {"ruff.toml": "line-length = 99\n"},
    "one above it": {"pyproject.toml": "[tool.ruff]\nline-length = 99\n"},
    "what that extends": {"base.toml": "line-length = 99\n"},
    "a module of the same name as one imported": {"requests.py": ""},
    "a package beside it": {"inner/requests/__init__.py": ""},
    "whether it is in a package": {"inner/__init__.py": ""},
}


@pytest.mark.parametrize("name", DECIDING)
def test_all_that_decides(
    workshop: Workshop, lay: Callable[[Tree], None], asked: list[list[str]], name: str
) -> None:
    """A result does not outlive what it was decided by."""
    lay({"inner/a.py": BAD})
    if name == "what that extends":
        lay({"ruff.toml": 'extend = "base.toml"\n', "base.toml": "line-length = 88\n"})
    lint(workshop, "inner/a.py")
    lint(workshop, "inner/a.py")
    assert len(asked) == 1
    lay(DECIDING[name])
    lint(workshop, "inner/a.py")
    assert len(asked) == 2


def test_another_ruff_or_runtime(
    workshop: Workshop, lay: Callable[[Tree], None], asked: list[list[str]]
) -> None:
    """Another version of ruff, or of the function's Python, lints anew."""
    lay({"a.py": BAD})
    lint(workshop, "a.py", trusted=True)
    fake(workshop, 'exec "$RUFF" "$@"')
    lint(workshop, "a.py", trusted=True)
    lint(workshop, "a.py", trusted=True, held=(function(),))
    lint(workshop, "a.py", trusted=True, held=(function(),))
    assert len(asked) == 3


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff" * 200])
def test_damage_is_a_miss(workshop: Workshop, lay: Callable[[Tree], None], damage: bytes) -> None:
    """What is kept may be torn or foreign: it is made anew."""
    lay({"a.py": BAD})
    first = lint(workshop, "a.py")
    place = Path(workshop.root, ".lambdad/state/lint/ruff.json")
    place.write_bytes(damage)
    assert lint(workshop, "a.py") == first


@pytest.mark.parametrize("change", ["rm -f a.py", "echo >> a.py"])
def test_moved_while_it_was_linted(
    workshop: Workshop, lay: Callable[[Tree], None], change: str
) -> None:
    """A file that goes or changes under ruff's hands has no findings; those beside it do."""
    lay({"a.py": BAD, "b.py": BAD})
    binary = fake(workshop, f'"$RUFF" "$@" > out; code=$?; {change}; cat out; exit $code')
    assert codes(lint(workshop, "a.py", "b.py", trusted=True)) == {"b.py": FOUND}
    binary.unlink()
    there = {"a.py": FOUND} if "echo" in change else {}
    assert codes(lint(workshop, "a.py", "b.py", trusted=True)) == {"b.py": FOUND, **there}


def test_edited_once_while_it_was_linted(workshop: Workshop, lay: Callable[[Tree], None]) -> None:
    """A file that is saved again meanwhile has the findings of what it is then."""
    lay({"a.py": BAD})
    script = '"$RUFF" "$@" > out; code=$?; echo "x = 1" > a.py; cat out; exit $code'
    fake(workshop, script)
    assert codes(lint(workshop, "a.py", trusted=True)) == {"a.py": ()}


# --- format --------------------------------------------------------------------------------------


def test_format_where_asked(workshop: Workshop, lay: Callable[[Tree], None]) -> None:
    """Formatting is told of the files it is asked for, by the project's own settings."""
    lay({"ruff.toml": 'format.quote-style = "single"\n', "a.py": "x = 'a'\n", "b.py": 'x = "a"\n'})
    assert codes(lint(workshop, "a.py", "b.py")) == {"a.py": (), "b.py": ()}
    found = lint(workshop, "a.py", "b.py", formatting=frozenset({"a.py", "b.py"}))
    assert codes(found) == {"a.py": (), "b.py": ("unformatted",)}
    lay({"b.py": "def f(:\n"})
    found = lint(workshop, "b.py", formatting=frozenset({"b.py"}))
    assert set(codes(found)["b.py"]) == {"invalid-syntax"}
    assert found.failed == ()
