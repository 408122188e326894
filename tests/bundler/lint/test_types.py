"""The project's own tsc, pyright and mypy: real ones, and fakes."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.lint import checked, types
from lambdad.bundler.lint.checked import CheckerRefusalError
from lambdad.bundler.lint.positions import Places, Units
from lambdad.bundler.lint.tool import Batch, Findings
from lambdad.bundler.model import Diagnostic, Severity
from lambdad.bundler.store.store import Store
from lambdad.bundler.tools import Completed
from lambdad.bundler.workshop import Workshop
from tests.conftest import Tree, workshop_at
from tests.support.lint_tools import (
    batch,
    fake,
    named,
    of_npm,
    of_pypi,
    runs,
    told,
    use,
    use_environment,
)
from tests.support.samples import function

pytestmark = pytest.mark.matrix

Lay = Callable[[Tree], None]

TSCONFIG = {"compilerOptions": {"strict": True, "skipLibCheck": True, "types": []}}
SCRIPTS = {
    "tsconfig.json": json.dumps(TSCONFIG),
    "src/a.ts": "const é = '😀'; export const n: number = é;\n",
    "src/b.ts": "import { n } from './a';\nexport const s: string = n;\n",
}
PYTHON = {
    "one/app.py": "é = '😀'; n: int = '😀'\n",
    "two/app.py": "def f() -> int:\n    return 'two'\n",
}


def lint(name: str, workshop: Workshop, *files: str, trusted: bool = True) -> Findings:
    return named(types.TOOLS, name).lint(batch(*files, trusted=trusted), workshop)


# --- tsc ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["4.9.5", "5.9.3", "7.0.2"])
def test_tsc(version: str, workshop: Workshop, lay: Lay, tools: Path) -> None:
    """Findings of the whole project, asked for one file of it; nothing is written but below
    .lambdad, and the next run begins with what that left."""
    lay(SCRIPTS)
    use(workshop, of_npm(f"typescript@{version}", tools))
    found = lint("tsc", workshop, "src/a.ts")
    assert not found.failed
    assert told(found, "src/a.ts") == [("TS2322", "error", 1, 29)]
    assert told(found, "src/b.ts") == [("TS2322", "error", 2, 14)]
    written = {path for path in os.listdir(workshop.root) if not path.startswith(".lambdad")}
    assert written == {"tsconfig.json", "src", "node_modules"}
    assert sorted(os.listdir(f"{workshop.root}/src")) == ["a.ts", "b.ts"]
    assert list(Path(workshop.root, ".lambdad/state/lint").glob("*.tsbuildinfo"))
    lay({"src/a.ts": "export const n: string = 'mended';\n"})
    assert lint("tsc", workshop, "src/a.ts").files == {"src/a.ts": ()}


def test_tsc_of_a_solution(workshop: Workshop, lay: Lay, tools: Path) -> None:
    """A tsconfig.json that only refers to others: each of those is checked."""
    solution = {"files": [], "references": [{"path": "./app"}, {"path": "./tsconfig.test.json"}]}
    part = {"compilerOptions": {**TSCONFIG["compilerOptions"], "composite": True}}
    lay(
        {
            "tsconfig.json": json.dumps(solution),
            "tsconfig.test.json": json.dumps({**part, "include": ["test"]}),
            "app/tsconfig.json": json.dumps(part),
            "app/a.ts": "export const a: number = '';\n",
            "test/t.ts": "export const t: number = '';\n",
        }
    )
    use(workshop, of_npm("typescript@5.9.3", tools))
    assert told(lint("tsc", workshop, "test/t.ts"), "test/t.ts") == [("TS2322", "error", 1, 14)]
    assert told(lint("tsc", workshop, "app/a.ts"), "app/a.ts") == [("TS2322", "error", 1, 14)]


def test_a_deleted_file_breaks_others(workshop: Workshop, lay: Lay, tools: Path) -> None:
    """Asked for the file that is gone, tsc tells where it is missed."""
    lay(SCRIPTS)
    use(workshop, of_npm("typescript@5.9.3", tools))
    os.unlink(f"{workshop.root}/src/a.ts")
    found = lint("tsc", workshop, "src/a.ts")
    assert told(found, "src/b.ts") == [("TS2307", "error", 1, 19)]
    assert "src/a.ts" not in found.files


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ('{"compilerOptions": {"strictt": true}}', "TS5025"),
        ('{"include": ["nowhere"]}', None),
    ],
)
def test_a_broken_tsconfig(
    config: str, code: str | None, workshop: Workshop, lay: Lay, tools: Path
) -> None:
    """What tsc says of it stands at its place in it; without one, it is one diagnostic."""
    lay({**SCRIPTS, "tsconfig.json": config})
    use(workshop, of_npm("typescript@5.9.3", tools))
    found = lint("tsc", workshop, "src/a.ts")
    if code:
        assert [item.code for item in found.files["tsconfig.json"]] == [code]
    else:
        (fault,) = found.failed
        assert (fault.code, fault.where and fault.where.file) == ("lint-config", "tsconfig.json")


def test_no_typescript_of_its_own(workshop: Workshop, lay: Lay) -> None:
    """esbuild needs none, so a project may have a tsconfig.json and no tsc: nothing is told."""
    lay(SCRIPTS)
    assert lint("tsc", workshop, "src/a.ts") == Findings()
    assert not named(types.TOOLS, "tsc").concerns(batch("src/a.ts"), workshop)


def test_messages_of_several_lines(tmp_path: Path) -> None:
    """What follows indented belongs to the finding above."""
    text = "a.ts(1,2): error TS1: No.\n  Because.\n    So it is.\nb.ts(3,4): warning TS2: Hm.\n"
    found = list(checked.tsc(Completed(2, text, ""), lambda name: name, _places(tmp_path)))
    assert [(item.code, item.severity.value, item.message) for item in found] == [
        ("TS1", "error", "No.\nBecause.\nSo it is."),
        ("TS2", "warning", "Hm."),
    ]


# --- mypy --------------------------------------------------------------------------------------

MYPY = pytest.mark.parametrize("version", ["1.8.0", "1.19.0", "2.4.1"])


@MYPY
def test_mypy(version: str, workshop: Workshop, lay: Lay, tools: Path) -> None:
    """With its JSON where it has that, else its text: the same findings, at characters. Functions
    may each have a module of one name."""
    lay({**PYTHON, "mypy.ini": "[mypy]\npretty = true\nshow_column_numbers = false\n"})
    use_environment(workshop, of_pypi(f"mypy=={version}", tools))
    held = {
        path: (function(name=folder, code=folder),)
        for path in PYTHON
        for folder in [path.partition("/")[0]]
    }
    found = named(types.TOOLS, "mypy").lint(
        Batch(files=tuple(PYTHON), holders=held, trusted=True), workshop
    )
    assert not found.failed
    ((code, severity, line, column),) = told(found, "one/app.py")
    assert (code, severity, line) == ("assignment", "error", 1)
    if not version.startswith("2."):  # which is at a loss where a line is not ASCII
        assert column == 19
    assert told(found, "two/app.py") == [("return-value", "error", 2, 12)]
    assert not Path(workshop.root, ".mypy_cache").exists()


@MYPY
def test_mypy_and_what_can_not_be_parsed(
    version: str, workshop: Workshop, lay: Lay, tools: Path
) -> None:
    """It is a finding, though mypy ends as if it had failed."""
    lay({"app.py": "x = = 1\n", "mypy.ini": "[mypy]\n"})
    use_environment(workshop, of_pypi(f"mypy=={version}", tools))
    found = lint("mypy", workshop, "app.py")
    assert not found.failed
    assert [item[:3] for item in told(found, "app.py")] == [("syntax", "error", 1)]


def test_mypy_checks_what_its_configuration_names(
    workshop: Workshop, lay: Lay, tools: Path
) -> None:
    """Then it is run as people run it, and tells of other files, too."""
    lay({**PYTHON, "pyproject.toml": '[tool.mypy]\nfiles = ["two"]\n'})
    use_environment(workshop, of_pypi("mypy==1.19.0", tools))
    found = lint("mypy", workshop, "two/app.py")
    assert told(found, "two/app.py") == [("return-value", "error", 2, 12)]


def test_a_broken_mypy_configuration(workshop: Workshop, lay: Lay, tools: Path) -> None:
    """One diagnostic, at the file, in mypy's words."""
    lay({**PYTHON, "setup.cfg": "[mypy]\npython_version = 2.7\n"})
    use_environment(workshop, of_pypi("mypy==1.19.0", tools))
    (fault,) = lint("mypy", workshop, "one/app.py").failed
    assert (fault.code, fault.where and fault.where.file) == ("lint-config", "setup.cfg")
    assert "Python 2" in fault.message
    assert "usage:" not in fault.message


# --- pyright -----------------------------------------------------------------------------------


def test_pyright(workshop: Workshop, lay: Lay, tools: Path) -> None:
    """Where pyrightconfig.json or pyproject.toml has settings for it; columns count characters."""
    lay({**PYTHON, "pyrightconfig.json": "{}"})
    use(workshop, of_npm("pyright@1.1.414", tools))
    found = lint("pyright", workshop, "one/app.py")
    assert not found.failed
    assert told(found, "one/app.py") == [("reportAssignmentType", "error", 1, 19)]
    assert told(found, "two/app.py") == [("reportReturnType", "error", 2, 12)]
    os.unlink(f"{workshop.root}/pyrightconfig.json")
    assert not named(types.TOOLS, "pyright").concerns(batch("one/app.py"), workshop)
    settings = '[tool.pyright]\nreportAssignmentType = "warning"\n'
    lay({"pyproject.toml": settings})
    found = lint("pyright", workshop, "one/app.py")
    assert told(found, "one/app.py") == [("reportAssignmentType", "warning", 1, 19)]


def test_a_broken_pyright_configuration(workshop: Workshop, lay: Lay, tools: Path) -> None:
    """One diagnostic; what it finds without its configuration is not what the project asked for."""
    lay({**PYTHON, "pyrightconfig.json": '{"include": ['})
    use(workshop, of_npm("pyright@1.1.414", tools))
    found = lint("pyright", workshop, "one/app.py")
    (fault,) = found.failed
    assert (fault.code, fault.where and fault.where.file) == ("lint-config", "pyrightconfig.json")
    assert not found.files


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "config"), [("pyright", "pyrightconfig.json"), ("mypy", "mypy.ini")]
)
def test_configured_and_not_installed(name: str, config: str, workshop: Workshop, lay: Lay) -> None:
    """One warning says so: others may run it elsewhere."""
    lay({**PYTHON, "pyrightconfig.json": "{}", "mypy.ini": "[mypy]\n"})
    (warned,) = lint(name, workshop, *PYTHON).failed
    assert (warned.code, warned.severity) == ("lint-tool", Severity.WARNING)
    assert warned.where is not None
    assert warned.where.file == config


def test_an_untrusted_project(workshop: Workshop, lay: Lay) -> None:
    """No code of it runs."""
    lay(SCRIPTS)
    fake(Path(workshop.root), "typescript", "tsc", "")
    (info,) = lint("tsc", workshop, "src/a.ts", trusted=False).failed
    assert info.code == "lint-untrusted"
    assert runs(Path(workshop.root), "tsc") == 0


@pytest.mark.parametrize("code", ["print('<html>')", "sys.exit(1)", "os.abort()"])
def test_what_nobody_can_read(code: str, workshop: Workshop, lay: Lay) -> None:
    """One diagnostic with a way out, and no file counts as clean."""
    lay(SCRIPTS)
    fake(Path(workshop.root), "typescript", "tsc", code)
    found = lint("tsc", workshop, "src/a.ts")
    (fault,) = found.failed
    assert fault.code == "lint-tool"
    assert fault.hint
    assert not found.files


def test_a_configuration_that_nobody_can_read(workshop: Workshop, lay: Lay) -> None:
    """Whatever a pyproject.toml holds, there is an answer."""
    for text in ("a = " + "[" * 100_000, "[tool\n", b"\xff"):
        lay({"pyproject.toml": text, "src/a.py": "x = 1\n"})
        for name in ("pyright", "mypy"):
            assert lint(name, workshop, "src/a.py") == Findings()


def test_sources_that_move_meanwhile(workshop: Workshop, lay: Lay) -> None:
    """Of no file anything is found: any of it may come from what moved."""
    lay(SCRIPTS)
    finding = "for name in 'ab':\n    print(f'src/{name}.ts(1,1): error TS1: No.')\n"
    fake(Path(workshop.root), "typescript", "tsc", finding + "open('src/c.ts', 'w')\nsys.exit(2)")
    assert lint("tsc", workshop, "src/a.ts") == Findings()
    fake(Path(workshop.root), "typescript", "tsc", finding + "sys.exit(2)")
    assert told(lint("tsc", workshop, "src/a.ts"), "src/a.ts") == [("TS1", "error", 1, 1)]


@given(
    text=st.text(alphabet=st.sampled_from('[]{}":,0(1)eE.-\n error TS: note é')),
    code=st.integers(0, 5),
)
def test_any_output_is_read_or_refused(
    text: str, code: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is printed, there are diagnostics or one of the exceptions that are told of."""
    answer, places = Completed(code, text, text), _places(tmp_path_factory.getbasetemp())
    readers: tuple[Callable[..., Iterable[Diagnostic]], ...] = (
        checked.tsc,
        checked.pyright,
        functools.partial(checked.mypy, units=Units.BYTES),
    )
    for read in readers:
        try:
            list(read(answer, str, places))
        except (msgspec.MsgspecError, ValueError, CheckerRefusalError):
            continue


def _places(folder: Path) -> Places:
    return Places(workshop_at(folder / "any", Store(folder / "store")))
