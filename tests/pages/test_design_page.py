"""docs/design.md, the contract: its tables hold what the code has, and nothing else."""

from __future__ import annotations

import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator

import click
import msgspec

from lambdad.daemon.cli.main import COMMANDS
from lambdad.daemon.cli.project import CommandPlace
from lambdad.daemon.serving import protocol
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "design.md").read_text()
PLACE = tuple(f"--{name}" for name in CommandPlace.__dataclass_fields__)
MESSAGES: dict[str, type[msgspec.Struct]] = {
    "answer": protocol.Answer,
    "function": protocol.FunctionMessage,
    "artifact": protocol.ArtifactMessage,
    "live": protocol.LiveMessage,
    "diagnostic": protocol.DiagnosticMessage,
    "where": protocol.Where,
}
OWN_FOLDERS = {"XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"}
"""Other variables of XDG are where other programs keep what lambdad reads."""


def table(*head: str) -> list[list[str]]:
    """The rows of the table with these heads: a text for each cell."""
    first = f"| {' | '.join(head)} |\n| {' | '.join('---' for _ in head)} |\n"
    rows = PAGE.split(first)[1].split("\n\n")[0].splitlines()
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))] for row in rows
    ]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def commands(name: str, command: click.Command) -> Iterator[tuple[str, set[str]]]:
    """Each command that does something by itself, with its arguments and long options."""
    context = click.Context(command)
    if not isinstance(command, click.Group) or command.invoke_without_command:
        arguments = [
            each.make_metavar(context)
            for each in command.params
            if isinstance(each, click.Argument)
        ]
        options = {
            option
            for each in command.params
            if isinstance(each, click.Option)
            for option in (*each.opts, *each.secondary_opts)
            if option.startswith("--")
        }
        yield " ".join([name, *arguments]), options
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            below = command.get_command(context, sub)
            assert below is not None
            yield from commands(f"{name} {sub}", below)


def test_commands_and_options() -> None:
    """Each command of the command line is in the table, with its options."""
    listed = {
        words(command)[0].replace("\\|", "|"): {
            *words(options),
            *(PLACE if "*place*" in options else ()),
        }
        for command, options, _ in table("command", "its options", "what it promises")
    }
    have = {
        line: options
        for name, (module, _) in COMMANDS.items()
        for line, options in commands(name, importlib.import_module(module).command)
    }
    assert listed == have


def test_commands_of_the_readme() -> None:
    """README.md names every command, and no other."""
    named = re.findall(
        r"^\| `lambdad (\w+)|, `lambdad (\w+)` \|", (ROOT / "README.md").read_text(), re.M
    )
    assert {one or other for one, other in named} == COMMANDS.keys()


def test_fields() -> None:
    """Each field of the answer is in the table, and its schema's fields alone."""
    listed: dict[str, list[str]] = defaultdict(list)
    for of, field, _ in table("of", "field", "meaning"):
        listed[of] += words(field)
    assert {of: sorted(fields) for of, fields in listed.items()} == {
        of: sorted(field.name for field in msgspec.structs.fields(kind))
        for of, kind in MESSAGES.items()
    }


def test_calls() -> None:
    """Each call is in the table, with the fields of its body."""
    listed = {
        words(call)[0]: set(words(given)) - {"function"}
        for call, given, _ in table("call", "body or query", "answer")
    }
    assert listed == {
        f"{method.upper()} {path}": {field.name for field in msgspec.structs.fields(body)}
        if body is not None
        else set()
        for (method, path), (_, body, _) in protocol._OPERATIONS.items()
    }


def test_problems() -> None:
    """Each status of a problem, and each code that the code gives one."""
    listed = {
        int(status): set(words(codes)) for status, codes, _ in table("status", "codes", "when")
    }
    assert listed.keys() == protocol._FAULTS.keys()
    given = set()
    for path in (ROOT / "daemon" / "serving").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="RequestError"),
                    args=[ast.Constant(value=int(status)), ast.Constant(value=str(code)), *_],
                ):
                    given.add((status, code))
                case ast.Dict(keys=[ast.Constant(value=404), *_]):
                    given |= set(ast.literal_eval(node).items()) if _is_codes(node) else set()
    assert given <= {(status, code) for status, codes in listed.items() for code in codes}
    assert {code for codes in listed.values() for code in codes} == {code for _, code in given}


def _is_codes(node: ast.Dict) -> bool:
    return all(isinstance(value, ast.Constant) for value in node.values) and all(
        re.fullmatch(r"[a-z-]+", value.value)
        for value in node.values
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    )


def test_variables() -> None:
    """Each variable of lambdad's own that the code reads is in the table."""
    listed = {word for name, _ in table("variable", "meaning") for word in words(name)}
    sources = [*(ROOT / "bundler").rglob("*.py"), *(ROOT / "daemon").rglob("*.py")]
    read = {
        name
        for path in sources
        for name in re.findall(
            r'"(LAMBDAD_[A-Z_]+|XDG_[A-Z_]+|(?:NO|FORCE)_COLOR)"', path.read_text()
        )
    }
    assert listed == {name for name in read if not name.startswith("XDG_")} | (read & OWN_FOLDERS)
