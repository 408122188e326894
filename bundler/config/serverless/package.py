"""`package` of a service and its functions: which files go into a zip, or that one is ready.

Source: Serverless Framework, "Packaging", and its package plugin: every file of the service's
folder, less its excludes; then `include` and `patterns` take in and leave out, in order, and the
last pattern that matches a file decides. Patterns of a function count only where it is packaged
individually.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.config.serverless.service import Service, ServiceFields
from lambdad.bundler.config.serverless.variables import UnresolvedVariableError, at, resolve
from lambdad.bundler.inputs import globs
from lambdad.bundler.located.located import Node, shortened
from lambdad.bundler.model import error, warning

REMOTE: Final = ("s3://", "https://", "http://")

NO_FIELDS: Final[Mapping[str, Node]] = {}


@dataclass(frozen=True, slots=True)
class Packaging:
    """The `package` of a service and of one function."""

    service: ServiceFields
    own: ServiceFields

    @property
    def is_individual(self) -> bool:
        return self.own.is_true("individually", "exclude") or self.of_all_functions

    @property
    def of_all_functions(self) -> bool:
        return self.service.is_true("individually", "exclude")


def of(service: Service, fields: ServiceFields) -> Packaging:
    """Both levels; the draft has a reason where they can't be known."""
    node = fields.get("package", "exclude")
    if node is not None and not isinstance(node.value, dict):
        fields.wrong(node, "package", "exclude", "a mapping")
    shared = service.package
    if isinstance(shared, UnresolvedVariableError):
        fields.unknown(shared, "package", "exclude")
        shared = NO_FIELDS

    def table(own: Mapping[str, Node]) -> ServiceFields:
        return ServiceFields(service.scope, own, fields.draft, NO_FIELDS)

    return Packaging(table(shared), table(node.fields if node else NO_FIELDS))


def skip_ready(service: Service, packaging: Packaging) -> bool:
    """Whether its zip is another tool's; the draft gets the reason."""
    draft = packaging.own.draft
    if packaging.own.is_true("disable", "package"):
        where = packaging.own.own["disable"].where
        draft.skipped("package", "told-to-skip", "package.disable turns packaging off", where)
        return True
    artifact = packaging.own.text("artifact", "package")
    if artifact is None and not packaging.own.is_true("individually", "exclude"):
        artifact = packaging.service.text("artifact", "package")
    if artifact is None:
        return False
    shown = shortened(artifact.value)
    if artifact.value.startswith(REMOTE):
        draft.skipped("package", "remote-code", f"its code is in {shown}", artifact.where)
    elif service.seen.kind(service.path(artifact.value)) is None:
        message = f"package.artifact names {shown}, which is not there"
        hint = "run what makes it first, or remove package.artifact to have lambdad build it"
        fault = error("missing-output", message, artifact.where, hint)
        draft.refused("package", fault)
    else:
        message = f"package.artifact names {shown}, which is ready"
        draft.skipped("package", "ready-archive", message, artifact.where)
    return True


def of_folder(service: Service, packaging: Packaging) -> tuple[str, ...]:
    """The patterns that decide about the files of an unbundled function's folder."""
    levels = [packaging.service]
    if packaging.is_individual:
        levels.append(packaging.own)
    elif ignored := next(
        (n for n in ("patterns", "include", "exclude") if n in packaging.own.own), ""
    ):
        where = packaging.own.own[ignored].key_where
        message = f"package.{ignored} of a function counts only if it is packaged individually"
        hint = "add individually: true, or move the patterns to the service's own package"
        packaging.own.draft.notes.append(warning("ignored-setting", message, where, hint))
    excluded = [*_own_files(service)]
    taken: list[str] = []
    for level in levels:
        excluded += _texts(level, "exclude")
        taken += _texts(level, "include")
        taken += _texts(level, "patterns")
    # The framework, too, skips what is there a second time.
    patterns = [*map(_turned, dict.fromkeys(excluded)), *dict.fromkeys(taken)]
    return _good(packaging.own, patterns)


def beside_bundle(packaging: Packaging, *, always_own: bool) -> tuple[str, ...]:
    """The patterns that add files to a bundle's zip: what none takes in stays out.

    A function's count only if it is packaged individually, or `always_own`.
    """
    levels = [packaging.service]
    if always_own or packaging.is_individual:
        levels.append(packaging.own)
    patterns: list[str] = []
    for level in levels:
        patterns += _texts(level, "include")
        patterns += map(_turned, _texts(level, "exclude"))
        patterns += _texts(level, "patterns")
    good = _good(packaging.own, patterns)
    if all(pattern.startswith("!") for pattern in good):
        return ()
    return ("!**", *good)


def below(patterns: tuple[str, ...], folder: str) -> tuple[str, ...]:
    """The same for a folder of the service as the top; of what can't lie there, nothing."""
    found = []
    for pattern in patterns:
        sign = "!" if pattern.startswith("!") else ""
        body = pattern.removeprefix("!").removeprefix("./")
        if body.startswith(f"{folder}/"):
            found.append(sign + body.removeprefix(f"{folder}/"))
        elif body.startswith("**"):
            found.append(pattern)
    return tuple(found)


def _turned(pattern: str) -> str:
    return pattern[1:] if pattern.startswith("!") else f"!{pattern}"


def _own_files(service: Service) -> Iterator[str]:
    """What the framework leaves out of itself, beside what no zip of ours holds anyway."""
    yield from ("npm-debug.log", "yarn-*.log", ".serverless_plugins/**")
    yield service.file.rpartition("/")[2]
    if service.local_plugins and not service.local_plugins.startswith(".."):
        yield f"{_literal(service.local_plugins)}/**"
    try:
        layers = at(service.scope, "layers")
        for layer in (layers.fields if layers else NO_FIELDS).values():
            fields = resolve(service.scope, layer).fields
            path = resolve(service.scope, fields["path"]).text if "path" in fields else ""
            if path:
                yield f"{_literal(path.rstrip('/'))}/**"
        dotenv = at(service.scope, "useDotenv")
    except UnresolvedVariableError:
        return
    if dotenv is not None and dotenv.value is True:
        yield ".env*"


def _literal(path: str) -> str:
    return "".join(f"\\{c}" if c in "*?[]{}\\!()" else c for c in path.removeprefix("./"))


def _texts(level: ServiceFields, name: str) -> list[str]:
    node = level.all(name, "exclude")
    if node is None:
        return []
    if not isinstance(node.value, list):
        level.wrong(node, f"package.{name}", "exclude", "a list")
        return []
    found = []
    for item in node.items:
        if isinstance(item.value, str):
            found.append(item.value)
        elif item.value is not None:
            level.wrong(item, f"package.{name}", "exclude", "a list of texts")
    return found


def _good(fields: ServiceFields, patterns: list[str]) -> tuple[str, ...]:
    """Those that can be matched; the others are reasons against the function."""
    good = []
    for pattern in patterns:
        problem = globs.fault(pattern)
        if problem is None:
            good.append(pattern)
            continue
        message = f'the pattern "{shortened(pattern)}" of package can\'t be used: {problem}'
        hint = "write it as plain globs (*, **, ?, [abc], {a,b}), or set exclude in lambdad.toml"
        fields.failed("exclude", error("bad-value", message, fields.draft.where, hint))
    return tuple(good)
