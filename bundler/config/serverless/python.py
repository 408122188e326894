"""The settings of serverless-python-requirements, which is a part of the framework in version 4.

Source: serverless-python-requirements 6.1. Without the plugin the framework installs nothing;
lambdad then installs what the code folder declares, as everywhere.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import Final

from lambdad.bundler.config.declared import Said
from lambdad.bundler.config.serverless.esbuild import note
from lambdad.bundler.config.serverless.package import Packaging
from lambdad.bundler.config.serverless.service import Service, ServiceFields
from lambdad.bundler.config.serverless.variables import UnresolvedVariableError
from lambdad.bundler.located import anytoml
from lambdad.bundler.located.located import Node, kind, plain
from lambdad.bundler.model import Diagnostic, RelPath, error

PLUGIN: Final = "serverless-python-requirements"
TABLE: Final = "custom.pythonRequirements"
FILE: Final = "requirements.txt"

WITHOUT_EFFECT: Final = frozenset(
    {"cacheLocation", "cleanupZipHelper", "dockerEnv", "dockerizePip", "dockerPrivateKey"}
    | {"dockerRootless", "dockerSsh", "invalidateCaches", "pythonBin", "requirePoetryLockFile"}
    | {"slimPatterns", "slimPatternsAppendDefaults", "strip"}
    | {"staticCacheMaxVersions", "useDownloadCache", "useStaticCache"}
)
"""How the plugin gets at packages: lambdad takes them for Lambda's platform wherever it runs. And
how it does `slim`, which is reported as a whole."""

READ: Final = frozenset(
    {"fileName", "noDeploy", "poetryWithGroups", "usePipenv", "usePoetry", "vendor"}
)


@dataclass(slots=True, kw_only=True)
class Requirements:
    file: str = FILE
    where: Node | None = None
    """Of `fileName`."""
    use_pipenv: bool = True
    use_poetry: bool = True
    without: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Of the project's dependencies, beside its own."""
    vendor: str | None = None
    faults: list[Diagnostic] = field(default_factory=list)
    """Why no function can be built so."""


def read(service: Service) -> Requirements | None:
    """None: the plugin is not used."""
    try:
        node = service.custom(TABLE)
    except UnresolvedVariableError as fault:
        used = PLUGIN in service.plugins or service.major >= 4
        return Requirements(faults=[fault.diagnostic]) if used else None
    # Version 4 brings the plugin along, and turns it on where the table is there.
    if PLUGIN not in service.plugins and (node is None or service.major < 4):
        return None
    found = Requirements()
    if node is None or node.value is None:
        return found
    if not isinstance(node.value, dict):
        message = f"{TABLE} must be a mapping, not {kind(node)}"
        found.faults.append(error("bad-value", message, node.where))
        return found
    fields = node.fields
    if (name := fields.get("fileName")) and name.text:
        found.file, found.where = name.text, name
    found.use_pipenv = _is_on(fields.get("usePipenv"))
    found.use_poetry = _is_on(fields.get("usePoetry"))
    if names := fields.get("noDeploy"):
        found.without = _normalised(names)
    if names := fields.get("poetryWithGroups"):
        found.groups = _normalised(names)
    if (vendor := fields.get("vendor")) and vendor.text:
        found.vendor = vendor.text
    ignored = {
        item: name
        for name, item in fields.items()
        if name not in READ and name not in WITHOUT_EFFECT and plain(item) not in OFF
    }
    note(service, TABLE, ignored)
    return found


OFF: Final[tuple[object, ...]] = (None, False, "false", "", [])


def apply(
    service: Service, wanted: Requirements, fields: ServiceFields, packaging: Packaging
) -> None:
    """Settles the code folder and the requirements of a function of Python."""
    draft = fields.draft
    for fault in wanted.faults:
        draft.failed("requirements", fault)
    module = fields.text("module", "code") if packaging.of_all_functions else None
    if module is not None and posixpath.normpath(module.value) != ".":
        draft.code = Said(service.path(module.value), module.where)
    folder = draft.code.value
    if file := _file(service, wanted, folder):
        draft.requirements = Said(file, wanted.where.where if wanted.where else draft.where)
    if wanted.without:
        draft.without = wanted.without
    if wanted.groups:
        draft.groups = wanted.groups
    vendors = [wanted.vendor] if wanted.vendor else []
    if own := fields.text("vendor", "shared"):
        vendors.append(own.value)
    if vendors:
        # What is laid down later lies over the earlier.
        draft.shared = tuple(service.path(vendor) for vendor in reversed(vendors))


def _file(service: Service, wanted: Requirements, folder: RelPath) -> RelPath | None:
    """The file of requirements, if it is to be named: else it is found in the code folder."""
    seen = service.seen
    if (
        wanted.use_poetry
        and seen.kind(_in(folder, "pyproject.toml"))
        and _is_poetry(seen.read(_in(folder, "pyproject.toml")))
    ):
        return None
    if wanted.use_pipenv and seen.kind(service.path("Pipfile")):
        return None
    if wanted.file == FILE and wanted.use_pipenv and wanted.use_poetry:
        return None
    path = _in(folder, wanted.file)
    # Without the file the plugin installs nothing.
    return path if seen.kind(path) == "file" else None


def _is_poetry(content: bytes | None) -> bool:
    """Whether the project is built by poetry, as the plugin judges it."""
    try:
        system = anytoml.loads((content or b"").decode()).get("build-system", {})
        return any(str(one).startswith("poetry") for one in system.get("requires", ()))
    except (ValueError, RecursionError, AttributeError, TypeError):
        return False


def _in(folder: RelPath, name: str) -> RelPath:
    return posixpath.normpath(posixpath.join(folder, name))


def _is_on(node: Node | None) -> bool:
    return node is None or node.value not in (False, "false")


def _normalised(names: Node) -> tuple[str, ...]:
    """As PEP 503 has distributions' names."""
    texts = [item.text for item in names.items if isinstance(item.value, str) and item.text]
    return tuple(sorted({re.sub(r"[-_.]+", "-", text).lower() for text in texts}))
