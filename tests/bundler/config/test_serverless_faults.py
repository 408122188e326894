"""Whatever the text of a serverless.yml, reading it ends in functions and diagnostics."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.bundler.config.find import read_project
from lambdad.bundler.config.serverless.syntax import SyntaxFaultError, parse
from lambdad.bundler.model import Project
from tests.support import mutations
from tests.support.config_cases import lay_out, told
from tests.support.mutations import Edit

MUTATED = [
    ("esbuild", "serverless.yml"),
    ("unbundled", "serverless.yaml"),
    ("python", "serverless.yml"),
    ("variables", "serverless.yml"),
    ("variables", "config/prod.yml"),
    ("variables", ".env.prod"),
    ("files", "functions.yml"),
    ("build-options", "serverless.yml"),
    ("build-options", "package.json"),
    ("bundle", "serverless.yml"),
    ("json", "serverless.json"),
]

TOKENS = [
    *(":", " ", "\n", "\t", "- ", "[", "]", "{", "}", ",", "'", '"', "#", "|", "\\", "\0", "é"),
    *("${", "${self:", "${self:custom", "${file(", "${env:A, ", "}", ")", "${opt:stage}", "$"),
    *("&a ", "*a", "<<: *a", "null", "true", "9" * 30, "../", "/", "!", "**", "!**", "{a,b}"),
    *("functions: ", "provider: ", "custom: ", "package: ", "build: ", "plugins: ", "${self:}"),
    *("${self:functions}", "${param:x}", "${sls:stage}", "=", "\\${", "patterns: ", "esbuild: "),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Path]]:
    """Each case laid out once; a test writes its file anew."""
    top = tmp_path_factory.mktemp("faults")
    laid: dict[tuple[str, str], Path] = {}
    for name, file in MUTATED:
        laid[name, file] = top / name / file.replace("/", "-")
        lay_out(f"../serverless/{name}", laid[name, file])
    yield laid
    shutil.rmtree(top)


def read(folder: Path, file: str, content: bytes) -> Project:
    (folder / file).write_bytes(content)
    project = read_project(str(folder), {}, options={"stage": "prod"})
    names = [each.name for each in project.functions]
    names += [each.name for each in project.not_built]
    assert len(names) == len(set(names))
    assert all(each.diagnostics for each in project.not_built)
    # Every message and name can be printed and sent.
    json.dumps(told(project), ensure_ascii=False).encode()
    return project


@pytest.mark.parametrize(("name", "file"), MUTATED)
def test_cut_off(name: str, file: str, places: dict[tuple[str, str], Path]) -> None:
    """A file cut off anywhere is read as far as it makes sense, or told to be broken."""
    folder = places[name, file]
    whole = (folder / file).read_bytes()
    for end in range(0, len(whole), 7):
        project = read(folder, file, whole[:end])
        if not (project.functions or project.not_built):
            assert project.diagnostics
    (folder / file).write_bytes(whole)


@settings(
    max_examples=250, deadline=5_000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=st.sampled_from(MUTATED), edits=mutations.edits(TOKENS))
def test_mutated(
    case: tuple[str, str],
    edits: list[Edit],
    places: dict[tuple[str, str], Path],
) -> None:
    """A file edited at random gives functions or diagnostics."""
    file = case[1]
    folder = places[case]
    original = (folder / file).read_bytes()
    text = mutations.edited(original.decode(), edits)
    try:
        read(folder, file, text.encode(errors="surrogatepass"))
    finally:
        (folder / file).write_bytes(original)


@settings(max_examples=300)
@given(
    parts=st.lists(st.sampled_from([*TOKENS, "a", "b.c", "'x'", "self:", "(", ":"]), max_size=12)
)
def test_syntax_never_crashes(parts: list[str]) -> None:
    """Any text is parts, or a fault."""
    text = "".join(parts)
    try:
        found = parse(text)
    except SyntaxFaultError:
        return
    if all(isinstance(part, str) for part in found) and "\\" not in text:
        assert "".join(map(str, found)) == text


LONG = "x" * 1000
BOMBS = {
    "itself": "custom: {a: '${self:custom.a}'}",
    "each other": "custom: {a: '${self:custom.b}', b: '${self:custom.c}', c: '${self:custom.a}'}",
    "doubling": "custom:\n  a0: "
    + LONG
    + "\n"
    + "".join(f"  a{n}: ${{self:custom.a{n - 1}}}${{self:custom.a{n - 1}}}\n" for n in range(1, 40))
    + "  a: ${self:custom.a39}",
    "wide": "custom:\n  a0: [x, x]\n"
    + "".join(
        f"  a{n}: ['${{self:custom.a{n - 1}}}', '${{self:custom.a{n - 1}}}']\n"
        for n in range(1, 40)
    )
    + "  a: ${self:custom.a39}",
    "chain": "custom:\n"
    + "".join(f"  a{n}: ${{self:custom.a{n + 1}}}\n" for n in range(200))
    + "  a200: y\n  a: ${self:custom.a0}",
    "nested": "custom: {a: '" + "${self:custom." * 200 + "x" + "}" * 200 + "'}",
    "nested twice": "custom: {a: '" + "${self:custom.${env:N, " * 15 + "x" + "}}" * 15 + "'}",
    "fallbacks": "custom: {a: '${" + ", ".join(["self:custom.n"] * 5_000) + "}'}",
    "everything": "custom: {a: '${self:}'}",
    "file of itself": "custom: {a: '${file(serverless.yml):custom.a}'}",
    "stage of itself": "provider: {name: aws, stage: '${sls:stage}'}\ncustom: {a: '${sls:stage}'}",
    "slashes": "custom: {a: '" + "\\\\" * 30_000 + "${self:x}'}",
    "openings": "custom: {a: '" + "${" * 30_000 + "'}",
    "long": "custom: {a: '" + "y" * 100_000 + "${self:x}'}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_costly_variables(name: str, tmp_path: Path) -> None:
    """Variables can't ask for more time or memory than there is, in any field that is needed."""
    needs = ["handler: '${self:custom.a}'", "runtime: '${self:custom.a}'"]
    needs += ["package: {individually: true, patterns: '${self:custom.a}'}"]
    needs += [
        "package: {individually: true, patterns: ['${self:custom.a}']}",
        "layers: '${self:custom.a}'",
    ]
    functions = "".join(f"  f{n}: {{handler: a.b, {need}}}\n" for n, need in enumerate(needs))
    head = "service: x\nplugins: [serverless-esbuild]\n"
    (tmp_path / "serverless.yml").write_text(f"{head}{BOMBS[name]}\nfunctions:\n{functions}")
    project = read_project(str(tmp_path), {})
    assert len(project.functions) + len(project.not_built) == len(needs)
