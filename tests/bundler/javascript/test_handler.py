"""The handler: found as Lambda finds it, and what is told when it would not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler import aws_sdk
from lambdad.bundler.inputs import snapshot
from lambdad.bundler.model import Diagnostic, Handler, Location, ProjectError, Severity
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.workshop import Workshop
from tests.conftest import Tree, write_tree
from tests.support.npm_apps import call, codes, elf, pack, unpack

GOOD = "exports.handler = async () => 1;\n"


def told(workshop: Workshop, files: Tree, handler: str, **changes: Any) -> tuple[Diagnostic, ...]:
    """The diagnostics of a function with these files in src."""
    write_tree(Path(workshop.root, "src"), files)
    folder, slash, name = handler.rpartition("/")
    module, _, export = name.partition(".")
    parsed = Handler(handler, folder + slash + module, export)
    if handler.endswith(".sh"):
        parsed = Handler(handler, handler, None)
    try:
        return pack(workshop, handler=parsed, **changes).diagnostics
    except ProjectError as fault:
        return fault.diagnostics


@pytest.mark.parametrize(
    ("file", "handler"),
    [
        ("app.js", "app.handler"),
        ("app.cjs", "app.handler"),
        ("a/b/app.js", "a/b/app.handler"),
        ("a/b/app.js", "./a/b/app.handler"),
        ("app/index.js", "app.handler"),
        ("app.js", "app.handler.inner"),
    ],
)
def test_found(workshop: Workshop, file: str, handler: str) -> None:
    """Each place that Lambda's runtime looks in will do."""
    assert told(workshop, {file: GOOD}, handler) == ()


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"app.js": "exports.handler = 1;\nconst x = ;\n"}, Location("src/app.js", 2, 11)),
        (
            {"app.js": "exports.handler = require('./lib/a');\n", "lib/a.js": "}\n"},
            Location("src/lib/a.js", 1, 1),
        ),
        ({"app.mjs": "import './b.mjs';\nexport let handler;\n", "b.mjs": "const 1;\n"}, None),
    ],
)
def test_what_can_not_be_parsed(workshop: Workshop, files: Tree, place: Location | None) -> None:
    """A syntax error of the handler's file, or of what it loads, is an error at its place."""
    (fault,) = told(workshop, files, "app.handler")
    assert (fault.code, fault.severity) == ("syntax-error", Severity.ERROR)
    assert place is None or fault.where == place


def test_what_can_not_be_parsed_behind_a_link(workshop: Workshop) -> None:
    """It is told by the name that the function has it by."""
    folder = Path(workshop.root, "src")
    folder.mkdir(exist_ok=True)
    Path(workshop.root, "shared").mkdir()
    Path(workshop.root, "shared/inner.js").write_text("const x = ;\n")
    (folder / "util").symlink_to("../shared")
    (fault,) = told(workshop, {"app.js": f"require('./util/inner');\n{GOOD}"}, "app.handler")
    assert (fault.code, fault.where) == ("syntax-error", Location("src/util/inner.js", 1, 11))


@pytest.mark.parametrize(
    "files",
    [
        {"app.js": GOOD, "test/broken.js": "const x = ;\n"},
        {"app.js": f"{GOOD}try {{ require('./x'); }} catch (e) {{}}\n", "x.js": "const x = ;\n"},
        {"app.js": f"#!/usr/bin/node\nwith (exports) {{ a = 010; delete b; }}\n{GOOD}return;\n"},
        {"app.mjs": "export const handler = await import('./x', { with: { type: 'json' } });\n"},
        {"app.js": f"{GOOD}class A {{ #b = 1n; static {{ a ??= b?.c ** 2; }} }}\n<!-- x\n"},
    ],
)
def test_what_node_takes(workshop: Workshop, files: Tree) -> None:
    """Sloppy, modern, and what nothing loads."""
    assert told(workshop, files, "app.handler") == ()


def test_found_in_a_dependency(workshop: Workshop) -> None:
    """The handler may be a file of a package, as monitoring vendors ask for."""
    files = {
        "package.json": '{"dependencies": {"wrap": "1"}}',
        "node_modules/wrap/package.json": '{"name": "wrap"}',
        "node_modules/wrap/dist/handler.js": "module.exports = {};",
    }
    assert codes(told(workshop, files, "node_modules/wrap/dist/handler.handler")) == ["unlocked"]


MISSING = {
    "nothing near": ({"x.js": GOOD}, "lambda.handler", "path/to/file.export"),
    "a near name": ({"handlers.js": GOOD}, "handler.main", "write handlers.main"),
    "another folder": ({"lib/app.js": GOOD}, "app.handler", "write lib/app.handler"),
    "another case": ({"App.js": GOOD}, "app.handler", "write App.handler"),
    "TypeScript": ({"app.ts": ""}, "app.handler", "app.ts is there: compile it first"),
    "outside": ({"app.js": GOOD}, "../app.handler", "relative to the code folder"),
    "absolute": ({"app.js": GOOD}, "/opt/app.handler", "relative to the code folder"),
}


@pytest.mark.parametrize("case", MISSING)
def test_missing_file(workshop: Workshop, case: str) -> None:
    """A handler without its file is an error at the template's line; a hint names what is near."""
    files, handler, hint = MISSING[case]
    (fault,) = told(workshop, files, handler)
    assert fault.code == "missing-handler-file"
    assert fault.where == Location("template.yaml", 2, 3)
    assert handler in fault.message
    assert hint in (fault.hint or "")


def test_missing_file_with_layers(workshop: Workshop) -> None:
    """With layers a handler's file that is not there is a warning: a layer may hold it."""
    (fault,) = told(workshop, {"x.js": GOOD}, "wrapper.handler", layers=True)
    assert (fault.code, fault.severity) == ("missing-handler-file", Severity.WARNING)


def test_missing_export(workshop: Workshop) -> None:
    """An export that certainly is not there is an error that says what is."""
    (fault,) = told(workshop, {"src/orders.js": "exports.main = 1;\n"}, "src/orders.handler")
    assert fault.code == "missing-export"
    assert fault.message == 'src/src/orders.js does not export "handler"'
    assert fault.hint == 'it exports "main"; write src/orders.main'


@pytest.mark.parametrize("text", ["", "const x = 1;\n"])
def test_exports_nothing(workshop: Workshop, text: str) -> None:
    """A file that exports nothing, an empty one too, lacks its handler's export."""
    assert codes(told(workshop, {"app.js": text}, "app.handler")) == ["missing-export"]


def test_doubt_passes(workshop: Workshop) -> None:
    """Where it can't be known what a file exports, nothing is reported."""
    assert told(workshop, {"app.js": "module.exports = require('./x');"}, "app.handler") == ()


def test_executable_wrapper(workshop: Workshop) -> None:
    """An executable wrapper keeps +x; one that lost it is an error with the command."""
    (fault,) = told(workshop, {"run.sh": "#!/bin/sh\nexec node server.js\n"}, "run.sh")
    assert fault.code == "handler-not-executable"
    assert "chmod +x src/run.sh" in (fault.hint or "")
    Path(workshop.root, "src/run.sh").chmod(0o755)
    assert told(workshop, {}, "run.sh") == ()
    (entry,) = pack(workshop, handler=Handler("run.sh", "run.sh", None)).own
    assert entry.executable
    (fault,) = told(workshop, {}, "start.sh")
    assert fault.code == "missing-handler-file"


def test_own_native_file_is_code(workshop: Workshop, tmp_path: Path) -> None:
    """Files of any kind beside the code go along, byte for byte."""
    data = elf("arm64")
    code = (
        "const { readFileSync } = require('fs');\n"
        "exports.handler = async () => readFileSync(__dirname + '/x.bin').length;\n"
    )
    assert told(workshop, {"app.js": code, "x.bin": data}, "app.handler") == ()
    assert call(unpack(pack(workshop), tmp_path / "out")) == len(data)


# --- packages that are not there ---------------------------------------------------------------

V2_CODE = {
    "loaded at once": ("const AWS = require('aws-sdk');\n", Severity.ERROR),
    "a module": ("import S3 from 'aws-sdk/clients/s3.js';\n", Severity.ERROR),
    "loaded later": ("const f = () => { require('aws-sdk'); };\n", Severity.WARNING),
    "provided for": ("try { require('aws-sdk'); } catch {}\n", None),
    "a comment": ("// require('aws-sdk')\n", None),
    "a text": ("const s = \"require('aws-sdk')\";\n", None),
    "version 3": ("const s3 = require('@aws-sdk/client-s3');\n", None),
}


@pytest.mark.parametrize("case", V2_CODE)
def test_sdk_v2(workshop: Workshop, case: str) -> None:
    """Loading SDK v2 undeclared, where the runtime has only v3, is one message at its line."""
    text, severity = V2_CODE[case]
    module = text.startswith("import")
    handler = "export const handler = async () => 1;\n" if module else GOOD
    files = {("app.mjs" if module else "app.js"): "\n" + text + handler}
    found = told(workshop, files, "app.handler")
    assert [fault.severity for fault in found] == ([severity] if severity else [])
    for fault in found:
        assert fault.code == "aws-sdk-v2-missing"
        assert fault.where is not None
        assert fault.where.line == 2
        assert "`npm install --prefix src aws-sdk` in the project's folder" in (fault.hint or "")


def test_sdk_v2_where_it_is(workshop: Workshop) -> None:
    """SDK v2 is fine on nodejs16.x, when it is declared and installed, and with layers."""
    files = {"app.js": "require('aws-sdk');\n" + GOOD}
    assert told(workshop, files, "app.handler", runtime=RUNTIMES["nodejs16.x"]) == ()
    assert told(workshop, files, "app.handler", layers=True) == ()
    assert codes(told(workshop, files, "app.handler")) == ["aws-sdk-v2-missing"]
    installed = {
        "package.json": '{"dependencies": {"aws-sdk": "2"}}',
        "node_modules/aws-sdk/package.json": '{"version": "2.0.0"}',
    }
    assert codes(told(workshop, installed, "app.handler")) == ["unlocked"]


def test_sdk_v2_of_another_function(workshop: Workshop) -> None:
    """In a shared code folder only the functions that load v2 are told of it."""
    files = {
        "app.js": "require('./lib/db');\n" + GOOD,
        "lib/db.js": "const AWS = require('aws-sdk');\n",
        "other.js": GOOD,
    }
    (fault,) = told(workshop, files, "app.handler")
    assert fault.where == Location("src/lib/db.js", 1, 13)
    assert told(workshop, files, "other.handler") == ()


def test_undeclared_package(workshop: Workshop) -> None:
    """A package that the handler loads and the zip lacks is a warning; tests' packages are not."""
    files = {
        "app.js": "require('axios'); require('fs'); require('@aws-sdk/client-s3');\n" + GOOD,
        "test/app.test.js": "require('chai');\n",
    }
    (fault,) = told(workshop, files, "app.handler")
    assert (fault.code, fault.severity) == ("undeclared-package", Severity.WARNING)
    assert '"axios"' in fault.message
    assert "no package.json" in fault.message
    assert "`npm install --prefix src axios` in the project's folder" in (fault.hint or "")
    files = {"package.json": '{"devDependencies": {"axios": "1"}}'}
    (fault,) = told(workshop, files, "app.handler")
    assert "not have it among its dependencies" in fault.message
    assert "`npm install --save-prod axios` in src" in (fault.hint or "")
    assert told(workshop, files, "app.handler", layers=True) == ()


@pytest.mark.parametrize(
    ("runtime", "package", "there"),
    [
        ("nodejs16.x", "aws-sdk", True),
        ("nodejs16.x", "@aws-sdk/client-s3", False),
        ("nodejs18.x", "aws-sdk", False),
        ("nodejs18.x", "@aws-sdk/client-s3", True),
        ("nodejs24.x", "@aws-sdk/lib-dynamodb", True),
        ("nodejs24.x", "@aws-sdk/util-utf8", False),
        ("nodejs24.x", "@aws-sdk/signature-v4-crt", False),
        ("nodejs24.x", "@smithy/types", False),
        ("nodejs24.x", "lodash", False),
        ("python3.12", "aws-sdk", False),
    ],
)
def test_provided(runtime: str, package: str, there: bool) -> None:
    """The runtime's own packages are v2 of the SDK up to nodejs16.x, then most of v3."""
    assert aws_sdk.provided(RUNTIMES[runtime], package) is there


def test_a_package_above_that_decides_the_syntax_counts(workshop: Workshop) -> None:
    """`type` in a package.json above the code decides what can be parsed: when one appears there,
    the function is stale."""
    source = "with ({ a: 1 }) { var b = a }\nexports.handler = async () => b;\n"
    assert told(workshop, {"app.js": source}, "app.handler") == ()
    before = snapshot.observe(workshop.root, workshop.seen.inputs())
    write_tree(Path(workshop.root), {"package.json": '{"type": "module"}'})
    assert "package.json appeared" in list(snapshot.changes(workshop.root, before))
    assert [one.code for one in told(workshop, {}, "app.handler")] == ["syntax-error"]
