"""package.json, as far as it decides what is packaged.

Field meanings: npm's documentation, "package.json".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambdad.bundler.inputs.reading import reason
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located import anyjson
from lambdad.bundler.model import Location, ProjectError, RelPath, error

NAME: Final = "package.json"
LOCAL: Final = ("file:", "link:", "portal:", "workspace:")


GENERATED: Final = {"@prisma/client": ".prisma/client"}
"""What a package's own tool writes beside it, and it loads, though no package.json says so:
https://www.prisma.io/docs/orm/prisma-client/setup-and-configuration/generating-prisma-client"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageJson:
    path: RelPath
    name: str = ""
    version: str = ""
    dependencies: Mapping[str, str]
    """Required at run time: name to wanted version, without those that are also optional."""
    optional: Mapping[str, str]
    peers: frozenset[str] = frozenset()
    optional_peers: frozenset[str] = frozenset()
    """Those of `peers` that it does without."""
    main: frozenset[str] = frozenset()
    """All that is declared for run time, whatever of it a function's settings ask for."""
    dev: frozenset[str] = frozenset()
    bundled: frozenset[str] = frozenset()
    """Packages it carries in its own node_modules."""
    named: frozenset[str] = frozenset()
    """Packages that the function's own settings ask for, however they are declared."""
    local: frozenset[str] = frozenset()
    """Dependencies that are declared by a place on this machine."""
    os: tuple[str, ...] = ()
    cpu: tuple[str, ...] = ()
    libc: tuple[str, ...] = ()
    workspaces: bool = False
    """It is the root of a workspace."""
    manager: str = ""
    """What `packageManager` names: "pnpm" of "pnpm@9.1.0"."""
    lines: Mapping[str, int]
    """Of each dependency's name, the first line that holds it as a key; own manifests only."""


def read(seen: Seen, path: RelPath, *, own: bool, at: str | None = None) -> PackageJson | None:
    """The manifest at that path, or None if there is none; it is looked for `at` another path that
    leads to it, if one is given.

    Raises ProjectError `bad-package-json`. An installed one (not `own`) may have oddly typed
    fields, as old packages do; they count as absent, as they do for npm.
    """
    try:
        content = seen.content(path if at is None else at)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as fault:
        raise _fault(path, f"can't be read: {reason(fault)}", None, own=own) from fault
    return parse(path, content, own=own)


def parse(path: RelPath, content: bytes, *, own: bool) -> PackageJson:
    """Raises ProjectError `bad-package-json`."""
    fields, text = load_object(path, content, own=own)
    optional = _versions(path, fields, "optionalDependencies", own=own)
    wanted = _versions(path, fields, "dependencies", own=own)
    bundled = fields.get("bundleDependencies", fields.get("bundledDependencies"))
    if bundled is True:
        bundled = list(wanted)
    dependencies = {name: version for name, version in wanted.items() if name not in optional}
    peers = frozenset(_versions(path, fields, "peerDependencies", own=own))
    return PackageJson(
        path=path,
        name=_text(fields.get("name")),
        version=_text(fields.get("version")),
        dependencies=dependencies,
        optional=optional,
        peers=peers,
        optional_peers=peers & _optional_peers(fields.get("peerDependenciesMeta")),
        main=peers.union(dependencies, optional),
        dev=_names(fields.get("devDependencies")),
        bundled=frozenset(texts(bundled)),
        local=frozenset(
            name for name, spec in (wanted | optional).items() if spec.startswith(LOCAL)
        ),
        os=texts(fields.get("os")),
        cpu=texts(fields.get("cpu")),
        libc=texts(fields.get("libc")),
        workspaces=bool(fields.get("workspaces")),
        manager=_text(fields.get("packageManager")).partition("@")[0],
        lines=_lines(text, (*dependencies, *optional, *peers)) if own else {},
    )


def load_object(path: RelPath, content: bytes, *, own: bool) -> tuple[dict[str, Any], str]:
    """The JSON object in a file of npm's, and its text. Raises ProjectError `bad-package-json`."""
    try:
        text = content.decode("utf-8-sig")  # npm, too, skips a byte order mark
        fields = anyjson.loads(text)
    except json.JSONDecodeError as fault:
        where = Location(path, fault.lineno, fault.colno)
        raise _fault(path, f"is not JSON: {fault.msg}", where, own=own) from fault
    except UnicodeDecodeError as fault:
        raise _fault(path, "is not UTF-8", None, own=own) from fault
    except (ValueError, RecursionError) as fault:
        raise _fault(
            path, "is nested too deep, or holds too long a number", None, own=own
        ) from fault
    if not isinstance(fields, dict):
        raise _fault(path, "is not a JSON object", Location(path, 1, 1), own=own)
    return fields, text


def _fault(path: RelPath, what: str, where: Location | None, *, own: bool) -> ProjectError:
    hint = "correct it" if own else "the installation is damaged: install again"
    return ProjectError(error("bad-package-json", f"{path} {what}", where or Location(path), hint))


def _versions(path: RelPath, fields: Mapping[str, Any], key: str, *, own: bool) -> dict[str, str]:
    value = fields.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        if own:
            raise _fault(path, f"has a {key!r} that is not an object", None, own=True)
        return {}
    for name, version in value.items():
        if not is_package_name(name):
            raise _fault(path, f"has {name!r} in {key!r}: no package's name", None, own=own)
        if own and not isinstance(version, str):
            raise _fault(path, f"has no version text for {name!r} in {key!r}", None, own=True)
    return {name: _text(version) for name, version in value.items()}


def _names(table: object) -> frozenset[str]:
    return frozenset(table) if isinstance(table, dict) else frozenset()


def _optional_peers(meta: object) -> frozenset[str]:
    table = meta if isinstance(meta, dict) else {}
    return frozenset(
        name for name, said in table.items() if isinstance(said, dict) and said.get("optional")
    )


def is_package_name(name: str) -> bool:
    """Whether it can only mean a folder of node_modules: "x" or "@scope/x", nothing that climbs."""
    parts = name.split("/")
    wanted = 2 if name.startswith("@") else 1
    return (
        len(parts) == wanted
        and all(part and not part.startswith(".") for part in parts)
        and not any(character in name for character in "\\\0\n")
        and name != "node_modules"
    )


def _lines(text: str, names: tuple[str, ...]) -> dict[str, int]:
    wanted = set(names)
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        key, colon, _ = line.strip().partition(":")
        name = key.strip().strip('"')
        if colon and name in wanted:
            lines.setdefault(name, number)
    return lines


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def texts(value: object) -> tuple[str, ...]:
    """Of a field that holds one text or several; whatever else it holds counts as absent."""
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
