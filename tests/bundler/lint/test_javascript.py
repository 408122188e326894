"""The project's own eslint, oxlint and biome: real ones, and fakes that hang or print garbage."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler import tools as processes
from lambdad.bundler.lint import javascript, own
from lambdad.bundler.lint.positions import Places, Units
from lambdad.bundler.lint.tool import Findings
from lambdad.bundler.model import Severity
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop
from tests.conftest import Tree, workshop_at
from tests.support.lint_tools import ANSWER, ESLINT, batch, fake, named, of_npm, runs, told, use

pytestmark = pytest.mark.matrix

Lay = Callable[[Tree], None]

BAD = "let unused = 1;\ndebugger;\nconst é = '😀😀'; debugger;\n"
FLAT = (
    'export default [{ files: ["**/*.js"], rules: {"no-debugger": "error", '
    '"no-unused-vars": "warn" } }];\n'
)
OLDER = json.dumps(
    {
        "root": True,
        "parserOptions": {"ecmaVersion": 2022, "sourceType": "module"},
        "rules": {"no-debugger": "error", "no-unused-vars": "warn"},
    }
)
FILES = {"src/bad.js": BAD, "src/good.js": "export {};\n", "src/torn.js": "const = ;\n"}


def lint(name: str, workshop: Workshop, *files: str, trusted: bool = True) -> Findings:
    wanted = files or tuple(FILES)
    return named(javascript.TOOLS, name).lint(batch(*wanted, trusted=trusted), workshop)


# --- the real ones -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "config"),
    [
        ("eslint@8.57.1", {".eslintrc.json": OLDER}),
        ("eslint@8.57.1", {"package.json": json.dumps({"eslintConfig": json.loads(OLDER)})}),
        ("eslint@9.39.5", {"eslint.config.mjs": FLAT}),
        ("eslint@10.15.0", {"eslint.config.mjs": FLAT}),
    ],
)
def test_eslint(package: str, config: Tree, workshop: Workshop, lay: Lay, tools: Path) -> None:
    """Each major version, with either form of its configuration: severities are the project's, and
    columns count characters."""
    lay({**FILES, **config})
    use(workshop, of_npm(package, tools))
    found = lint("eslint", workshop)
    assert not found.failed
    assert told(found, "src/bad.js") == [
        ("no-unused-vars", "warning", 1, 5),
        ("no-debugger", "error", 2, 1),
        ("no-unused-vars", "warning", 3, 7),
        ("no-debugger", "error", 3, 17),
    ]
    assert told(found, "src/good.js") == []
    assert told(found, "src/torn.js") == [("syntax-error", "error", 1, 7)]


def test_eslint_leaves_out_what_the_project_leaves_out(
    workshop: Workshop, lay: Lay, tools: Path
) -> None:
    """Asked for by name, such a file has no findings and no complaint that it was ignored."""
    ignoring = 'export default [{ ignores: ["src/bad.js"] }, {}];\n'
    lay({**FILES, "src/typed.ts": "let a: number;\n", "eslint.config.mjs": ignoring})
    use(workshop, of_npm("eslint@9.39.5", tools))
    found = lint("eslint", workshop, "src/bad.js", "src/typed.ts")
    assert found.files == {"src/bad.js": (), "src/typed.ts": ()}
    assert not found.failed


def test_eslint_8_without_a_parser_for_typescript(
    workshop: Workshop, lay: Lay, tools: Path
) -> None:
    """It would call every type a syntax error: such files are not its business."""
    lay({**FILES, "src/typed.ts": "let a: number;\n", ".eslintrc.json": OLDER})
    use(workshop, of_npm("eslint@8.57.1", tools))
    found = lint("eslint", workshop, "src/bad.js", "src/typed.ts")
    assert set(found.files) == {"src/bad.js"}


@pytest.mark.parametrize(
    "config", ['export default [{ rules: { "no-such-rule": "error" } }];', "export default [{"]
)
def test_a_broken_eslint_configuration(
    config: str, workshop: Workshop, lay: Lay, tools: Path
) -> None:
    """One diagnostic, at the configuration, in eslint's words."""
    lay({**FILES, "eslint.config.mjs": config})
    use(workshop, of_npm("eslint@9.39.5", tools))
    (fault,) = lint("eslint", workshop).failed
    assert fault.code == "lint-config"
    assert fault.where is not None
    assert fault.where.file == "eslint.config.mjs"
    assert "no-such-rule" in fault.message or "SyntaxError" in fault.message


@pytest.mark.parametrize("package", ["oxlint@0.15.0", "oxlint@1.94.0"])
def test_oxlint(package: str, workshop: Workshop, lay: Lay, tools: Path) -> None:
    """In either form of its JSON; its bytes are our characters."""
    config = '{"rules": {"no-debugger": "error", "no-unused-vars": "warn"}}'
    lay({**FILES, ".oxlintrc.json": config})
    use(workshop, of_npm(package, tools))
    found = lint("oxlint", workshop)
    assert not found.failed
    assert told(found, "src/bad.js") == [
        ("eslint(no-unused-vars)", "warning", 1, 5),
        ("eslint(no-debugger)", "error", 2, 1),
        ("eslint(no-unused-vars)", "warning", 3, 7),
        ("eslint(no-debugger)", "error", 3, 17),
    ]
    assert told(found, "src/good.js") == []
    assert told(found, "src/torn.js") == [("syntax-error", "error", 1, 7)]


def test_a_broken_oxlint_configuration(workshop: Workshop, lay: Lay, tools: Path) -> None:
    """One diagnostic, at the configuration."""
    lay({**FILES, ".oxlintrc.json": '{"rules": [}'})
    use(workshop, of_npm("oxlint@1.94.0", tools))
    (fault,) = lint("oxlint", workshop).failed
    assert (fault.code, fault.where and fault.where.file) == ("lint-config", ".oxlintrc.json")


@pytest.mark.parametrize(
    "package", ["@biomejs/biome@1.9.4", "@biomejs/biome@2.0.0", "@biomejs/biome@2.6.8"]
)
def test_biome(package: str, workshop: Workshop, lay: Lay, tools: Path) -> None:
    """In each form of its JSON, at the same places."""
    lay({**FILES, "biome.json": "{}"})
    use(workshop, of_npm(package, tools))
    found = lint("biome", workshop)
    assert not found.failed
    places = told(found, "src/bad.js")
    assert ("lint/suspicious/noDebugger", "error", 2, 1) in places
    assert ("lint/suspicious/noDebugger", "error", 3, 17) in places
    assert told(found, "src/good.js") == []
    assert ("syntax-error", "error", 1, 7) in told(found, "src/torn.js")


def test_a_broken_biome_configuration(workshop: Workshop, lay: Lay, tools: Path) -> None:
    """One diagnostic, at the configuration."""
    lay({**FILES, "biome.json": '{"linter": {"rules": {"suspicious": {"noSuch": "error"}}}}'})
    use(workshop, of_npm("@biomejs/biome@2.6.8", tools))
    (fault,) = lint("biome", workshop).failed
    assert (fault.code, fault.where and fault.where.file) == ("lint-config", "biome.json")
    assert "noSuch" in fault.message


# --- which files, with which configuration -------------------------------------------------------


def test_each_file_has_the_nearest_configuration(workshop: Workshop, lay: Lay) -> None:
    """A package of a workspace may have its own; it is run where that lies."""
    lay(
        {
            "eslint.config.mjs": "",
            "one/eslint.config.mjs": "",
            "one/a.js": "bad",
            "two/a.js": "bad",
        }
    )
    log = os.path.join(workshop.root, "log")
    where = f"open({log!r}, 'a').write(os.path.basename(os.getcwd()) + ' ' + files[0] + '\\n')\n"
    fake(Path(workshop.root), "eslint", "eslint", ESLINT + where + ANSWER)
    found = lint("eslint", workshop, "one/a.js", "two/a.js", "gone.js", "read.me")
    assert {path: len(items) for path, items in found.files.items()} == {
        "one/a.js": 1,
        "two/a.js": 1,
    }
    assert sorted(Path(log).read_text().splitlines()) == ["one a.js", "project two/a.js"]


def test_a_project_without_its_own_linters(workshop: Workshop, lay: Lay) -> None:
    """Nothing is found, nothing is told, and no linter has any business with it."""
    lay(FILES)
    for tool in javascript.TOOLS:
        assert tool.lint(batch(*FILES), workshop) == Findings()
        assert not tool.concerns(batch(*FILES), workshop)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", b"\xff", '{"eslintConfig": 1'])
def test_a_broken_manifest_configures_nothing(
    text: str | bytes, workshop: Workshop, lay: Lay
) -> None:
    """Whatever a package.json holds, it is npm's and the build's to complain of."""
    lay({**FILES, "package.json": text})
    assert lint("eslint", workshop) == Findings()


def test_configured_and_not_installed(workshop: Workshop, lay: Lay) -> None:
    """One warning says so, at the configuration, however many files it is for."""
    lay({**FILES, "biome.json": "{}"})
    (told_once,) = lint("biome", workshop).failed
    assert (told_once.code, told_once.severity) == ("lint-tool", Severity.WARNING)
    assert told_once.where is not None
    assert told_once.where.file == "biome.json"


def test_an_untrusted_project(workshop: Workshop, lay: Lay) -> None:
    """No code of its node_modules runs; one info says why."""
    lay({**FILES, "eslint.config.mjs": FLAT})
    fake(Path(workshop.root), "eslint", "eslint", ESLINT + ANSWER)
    (info,) = lint("eslint", workshop, trusted=False).failed
    assert (info.code, info.severity) == ("lint-untrusted", Severity.INFO)
    assert runs(Path(workshop.root), "eslint") == 0


# --- tools that misbehave ----------------------------------------------------------------------

FAULTS = {
    "garbage": "print('<html>')",
    "no JSON of eslint's": "print('[{\"a\": 1}]')",
    "nothing, and a failure": "sys.stderr.write('Segmentation fault\\n'); sys.exit(139)",
    "it dies": "os.abort()",
    "bytes": "sys.stdout.buffer.write(bytes(range(256)))",
    "deep": "print('[' * 100000)",
    "deep in what nobody reads": "print('[{\"x\":' + '[' * 100000)",
    "half": 'print(\'[{"filePath": "src/bad.js", "messages": [\')',
    "a crash of a rule": "sys.stderr.write('Oops!\\nOccurred while linting a.js\\n'); sys.exit(2)",
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_nobody_can_read(case: str, workshop: Workshop, lay: Lay) -> None:
    """One diagnostic with a way out, and no file counts as clean."""
    lay({**FILES, "eslint.config.mjs": FLAT})
    fake(Path(workshop.root), "eslint", "eslint", FAULTS[case])
    found = lint("eslint", workshop)
    (fault,) = found.failed
    assert (fault.code, fault.severity) == ("lint-tool", Severity.ERROR)
    assert fault.hint
    assert not found.files


def test_a_linter_that_hangs(workshop: Workshop, lay: Lay, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended after the time-out, with one diagnostic."""
    lay({**FILES, "eslint.config.mjs": FLAT})
    fake(Path(workshop.root), "eslint", "eslint", "import signal; signal.pause()")
    monkeypatch.setattr(own, "SLOW_S", 0.5)
    (fault,) = lint("eslint", workshop).failed
    assert fault.code == "lint-tool"
    assert "gave no answer" in fault.message


def test_a_linter_that_prints_without_end(
    workshop: Workshop, lay: Lay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended, with one diagnostic."""
    lay({**FILES, "eslint.config.mjs": FLAT})
    fake(Path(workshop.root), "eslint", "eslint", "while True: print('x' * 4096)")
    monkeypatch.setattr(processes, "MOST_OUTPUT", 1 << 20)
    (fault,) = lint("eslint", workshop).failed
    assert fault.code == "lint-tool"
    assert "without end" in fault.message


def test_a_linter_that_is_no_program(workshop: Workshop, lay: Lay) -> None:
    """It can't be started: one diagnostic."""
    lay({**FILES, "eslint.config.mjs": FLAT})
    fake(Path(workshop.root), "eslint", "eslint", "")
    (Path(workshop.root) / "node_modules/.bin/eslint").write_text("no program")
    (fault,) = lint("eslint", workshop).failed
    assert fault.code == "lint-tool"


@given(text=st.text(alphabet=st.sampled_from('[]{}":,0eE.-\\ntrufalse\n é')))
def test_any_output_is_read_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever is printed, there are diagnostics or there is one of the two exceptions."""
    workshop = workshop_at(tmp_path_factory.getbasetemp() / "any", Store(Path("store")))
    for linter in javascript.LINTERS:
        try:
            list(linter.read(text, lambda name: name, Places(workshop)))
        except (msgspec.MsgspecError, ValueError):
            continue


# --- what is kept --------------------------------------------------------------------------------


def test_an_unchanged_file_is_not_linted_again(workshop: Workshop, lay: Lay) -> None:
    """Until it changes, another file that may decide about it does, or the linter does."""
    root = Path(workshop.root)
    lay({"eslint.config.mjs": "", "a.js": "bad\n", "b.js": "", "read.me": ""})
    fake(root, "eslint", "eslint", ESLINT + ANSWER)
    counts = []

    def again() -> None:
        assert len(lint("eslint", workshop, "a.js").files["a.js"]) == 1
        counts.append(runs(root, "eslint"))

    again()
    again()
    lay({"read.me": "changed"})
    again()
    lay({"b.js": "export const b = 1;\n"})
    again()
    lay({"b.js": ""})
    again()
    (root / "node_modules/eslint/package.json").write_text('{"version": "1.0.1"}')
    again()
    assert counts == [1, 1, 1, 2, 3, 4]


def test_a_file_that_moves_meanwhile_has_no_findings(workshop: Workshop, lay: Lay) -> None:
    """Neither the one that was edited, nor one whose findings may come from it."""
    lay({"eslint.config.mjs": "", "a.js": "bad\n", "b.js": ""})
    editing = "open('b.js', 'w').write('export {}')\n"
    fake(Path(workshop.root), "eslint", "eslint", ESLINT + ANSWER + editing)
    found = lint("eslint", workshop, "a.js")
    assert "a.js" not in found.files
    fake(Path(workshop.root), "eslint", "eslint", ESLINT + ANSWER)
    assert len(lint("eslint", workshop, "a.js").files["a.js"]) == 1


# --- places --------------------------------------------------------------------------------------

LINE = st.text(alphabet=st.characters(exclude_characters="\n", exclude_categories=["Cs"]))


@given(before=st.lists(LINE, max_size=3), line=LINE, rest=LINE)
def test_columns_are_characters(
    before: list[str], line: str, rest: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever a tool counts in, it is the same place."""
    root = tmp_path_factory.getbasetemp() / "places"
    root.mkdir(exist_ok=True)
    above = "".join(f"{each}\n" for each in before)
    (root / "a.js").write_bytes(f"{above}{line}{rest}\n".encode())
    workshop = workshop_at(root, Store(Path("store")))
    places, number = Places(workshop), len(before) + 1
    wide = len(line.encode("utf-16-le")) // 2
    wanted = len(line) + 1
    assert places.column("a.js", number, wide + 1, Units.UTF16) == wanted
    assert places.column("a.js", number, len(line.encode()) + 1, Units.BYTES) == wanted
    assert places.column("a.js", number, wanted, Units.CHARACTERS) == wanted
    assert places.at("a.js", len(f"{above}{line}".encode())) == (number, wanted)


def test_places_that_are_not_there(workshop: Workshop, lay: Lay) -> None:
    """A tool may be wrong about a file: that is no reason to fail."""
    lay({"a.js": "é\n"})
    places = Places(workshop)
    assert places.column("a.js", 9, 4, Units.BYTES) == 4
    assert places.column("a.js", 1, 99, Units.UTF16) == 2
    assert places.column("gone.js", 1, 0, Units.BYTES) == 1
    assert places.at("a.js", 1000) is None
