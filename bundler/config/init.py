"""What `lambdad init` writes: a lambdad.toml from what a folder holds."""

from __future__ import annotations

import ast
import json
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.config import pythons
from lambdad.bundler.config.check import JAVASCRIPT, TYPESCRIPT, parse_handler
from lambdad.bundler.config.declared import Ending
from lambdad.bundler.config.files import AWAITED, CDK_APP, CDK_ASSEMBLY
from lambdad.bundler.config.names import file_name, is_safe
from lambdad.bundler.inputs import walking
from lambdad.bundler.inputs.reading import open_regular
from lambdad.bundler.located.located import shortened
from lambdad.bundler.model import (
    BundlerError,
    Failed,
    Language,
    NotBuilt,
    Project,
    Refused,
    Skipped,
)
from lambdad.bundler.runtimes import RUNTIMES

FILES: Final = 20_000
"""Looked at before the search ends: init answers soon in a home folder too."""
SIZE: Final = 1 << 20

NOT_OURS: Final = frozenset(
    {"node_modules", "__pycache__", "__tests__", "build", "dist", "out", "site-packages"}
    | {"target", "test", "tests", "vendor", "venv"}
)
"""Folders that hold no handlers of the project's; those that begin with a dot neither."""

GENERIC: Final = frozenset(
    {"__init__", "app", "handler", "index", "lambda_function", "main", "src"}
)
"""Names that say nothing: the folder's around them is taken."""

PYTHON_NAMES: Final = frozenset({"handler", "lambda_handler"})


def _exporting(names: str) -> re.Pattern[str]:
    return re.compile(
        rf"^[ \t]*export\s+(?:const|let|var|(?:async\s+)?function)\s+({names})\b"
        rf"|^[ \t]*(?:module\.)?exports\.({names})\s*=",
        re.MULTILINE,
    )


EXPORT: Final = _exporting("handler|lambdaHandler")
EXPORT_OR_MAIN: Final = _exporting("handler|lambdaHandler|main")
"""In an app of SST's or of the Serverless Framework's: both have it so in their templates."""

HEAD: Final = """\
# How lambdad builds this project. `lambdad build` makes one zip for each function.
"""

OVER_TEMPLATE: Final = """
# The functions are those of {files}. A table here overrides what they say:
# take away the "# " of what you need.

# [defaults]
# exclude = ["tests/", "*.md"]    # as in a .gitignore; these files stay out of the zip
"""

DEFAULTS: Final = """
[defaults]
architecture = "x86_64"           # or "arm64"
# exclude = ["tests/", "*.md"]    # as in a .gitignore; these files stay out of the zip
"""

NOTHING: Final = """
# No file here looks like a handler. A function is a table:
#
# [functions.hello]
# handler = "src/hello.handler"   # path/file.function, below the code folder
# runtime = "{javascript}"           # or "{python}"
# code = "."                      # the code folder
"""


@dataclass(frozen=True, slots=True)
class _Handler:
    path: str
    """Of the file, from the project's folder."""
    code: str
    handler: str
    language: Language


def propose(root: str) -> str:
    """The text of a lambdad.toml for the folder; reading it back finds no fault."""
    if project := _described(root):
        return HEAD + _over_template(project)
    found = sorted(_handlers(root), key=lambda each: each.path)
    if not found:
        return HEAD + NOTHING.format(
            python=_newest(Language.PYTHON), javascript=_newest(Language.JAVASCRIPT)
        )
    return HEAD + DEFAULTS + "".join(_tables(root, found))


def _described(root: str) -> Project | None:
    from lambdad.bundler.config.find import read_project

    try:
        project = read_project(root, {})
    except BundlerError:
        return None
    if project.root != os.path.realpath(root) or not (project.functions or project.not_built):
        return None
    return project


def _over_template(project: Project) -> str:
    places = [each.where.file for each in project.functions]
    places += [each.where.file for each in project.not_built]
    text = OVER_TEMPLATE.format(files=" and ".join(map(shortened, sorted(set(places)))))
    sources = _sources(project)
    for name, folder in sources.items():
        text += f"\n[functions.{_key(name)}]\ncode = {_quoted(folder)}\n"
    told = [(each.name, each.handler.text) for each in project.functions]
    told += [
        (each.name, _REMARKS[type(each.outcome)])
        for each in project.not_built
        if is_safe(each.name) and each.name not in sources and not _is_frameworks(each)
    ]
    for name, remark in told:
        text += f"\n# [functions.{_key(name)}]    # {shortened(remark)}\n"
    return text


_REMARKS: Final[Mapping[Ending, str]] = {
    Failed: "failed",
    Refused: "refused",
    Skipped: "skipped",
}


def _is_frameworks(each: NotBuilt) -> bool:
    return any(item.code == "framework-function" for item in each.diagnostics)


def _sources(project: Project) -> dict[str, str]:
    """The code folders of functions whose AWS CDK assembly does not name them."""
    unknown = {
        each.name
        for each in project.not_built
        if any(item.code == "unknown-source" for item in each.diagnostics)
    }
    if not unknown:
        return {}
    from lambdad.bundler.config.cdk import reader, source
    from lambdad.bundler.config.files import CDK_ASSEMBLY, CDK_MANIFEST
    from lambdad.bundler.inputs.seen import Seen

    named = reader.named(Seen(project.root, project.repository))
    manifest = named.value if named else f"{CDK_ASSEMBLY}/{CDK_MANIFEST}"
    found = source.sources(project.root, manifest)
    return {name: folder for name, folder in sorted(found.items()) if name in unknown}


def _tables(root: str, found: list[_Handler]) -> Iterator[str]:
    taken: set[str] = set()
    for each in found:
        name = _name(each.path, taken)
        yield f"\n[functions.{_key(name)}]\n"
        yield f"handler = {_quoted(each.handler)}\n"
        yield f"runtime = {_quoted(_runtime(root, each))}\n"
        if each.code != ".":
            yield f"code = {_quoted(each.code)}\n"
        if each.language is Language.PYTHON and (file := pythons.requirements(root, each.code)):
            yield f"requirements = {_quoted(file)}\n"


def _runtime(root: str, each: _Handler) -> str:
    said = None
    if each.language is Language.PYTHON:
        said = pythons.runtime(root, posixpath.dirname(each.path))
    return said or _newest(each.language)


def _name(path: str, taken: set[str]) -> str:
    """As short as it says something, and no two the same but for case."""
    parts = re.sub(r"[^A-Za-z0-9_/]+", "-", posixpath.splitext(path)[0]).split("/")
    parts = [part.strip("-") or "function" for part in parts]
    while parts[-1] in GENERIC and len(parts) > 1:
        parts.pop()
    for count in range(1, len(parts) + 1):
        name = "-".join(parts[-count:])
        if is_safe(name) and file_name(name).lower() not in taken:
            break
    number = 2
    while not is_safe(name) or name.lower() in taken:
        name = f"{parts[-1][:100]}-{number}"
        number += 1
    taken.add(name.lower())
    return name


def _handlers(root: str) -> Iterator[_Handler]:
    apps = AWAITED.keys() - {CDK_APP, CDK_ASSEMBLY}
    is_app = any(os.path.exists(os.path.join(root, name)) for name in apps)
    export = EXPORT_OR_MAIN if is_app else EXPORT
    seen = 0
    for folder, _folders, files in walking.folders(root, _may_hold_handlers, named="."):
        for name in files:
            seen += 1
            if seen > FILES:
                return
            path = posixpath.normpath(os.path.relpath(os.path.join(folder, name), root))
            if path.isprintable() and (handler := _handler(root, path, export)):
                yield handler


def _may_hold_handlers(name: str) -> bool:
    return name not in NOT_OURS and not name.startswith(".")


def _handler(root: str, path: str, exporting: re.Pattern[str]) -> _Handler | None:
    stem, ending = posixpath.splitext(path)
    base = posixpath.basename(stem)
    if ending == ".py":
        if base.startswith("test_"):
            return None
        export = _python_export(_text(root, path))
        code = _python_code(root, path)
        module = posixpath.relpath(stem, code).replace("/", ".").removesuffix(".__init__")
        language = Language.PYTHON
    elif ending in (*JAVASCRIPT, *TYPESCRIPT):
        match = exporting.search(_text(root, path)) if "." not in base else None
        export = (match[1] or match[2]) if match else None
        code, module, language = ".", stem, Language.JAVASCRIPT
    else:
        return None
    handler = f"{module}.{export}"
    if export is None or parse_handler(handler, language) is None:
        return None
    return _Handler(path, code, handler, language)


def _text(root: str, path: str) -> str:
    try:
        with open_regular(os.path.join(root, path)) as file:
            return file.read(SIZE).decode("utf-8", "replace")
    except OSError:
        return ""


def _python_export(text: str) -> str | None:
    """The usual name of a top-level function that takes an event and a context, or of what a call
    gave, as of `handler = Mangum(app)`."""
    if not any(name in text for name in PYTHON_NAMES):
        return None
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in PYTHON_NAMES:
            arguments = [*node.args.posonlyargs, *node.args.args]
            if len(arguments) == 2:
                return node.name
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id in PYTHON_NAMES:
                    return target.id
    return None


def _python_code(root: str, path: str) -> str:
    """The nearest folder upwards that is no package: what imports start from."""
    folder = posixpath.dirname(path)
    while folder and os.path.exists(os.path.join(root, folder, "__init__.py")):
        folder = posixpath.dirname(folder)
    return folder or "."


def _newest(language: Language) -> str:
    ours = [runtime for runtime in RUNTIMES.values() if runtime.language is language]
    return max(ours, key=lambda runtime: runtime.version).name


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    # A JSON string of printable characters is a TOML string too.
    return json.dumps(text, ensure_ascii=False)
