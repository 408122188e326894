"""pyproject.toml as a source of dependencies: PEP 621, PEP 735, and the tables of uv and Poetry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from packaging.utils import canonicalize_name

from lambdad.bundler.located import located_toml
from lambdad.bundler.located.located import Node, decode, plain
from lambdad.bundler.model import Diagnostic, Function, Location, ProjectError, RelPath, error
from lambdad.bundler.python.indexes import Indexes
from lambdad.bundler.python.locks import lock as locks
from lambdad.bundler.python.locks import manifest as manifests
from lambdad.bundler.python.locks import poetry
from lambdad.bundler.python.locks.manifest import DeclaredDependency, Manifest, needs_lock
from lambdad.bundler.python.locks.poetry import BadDependencyError, Dependency
from lambdad.bundler.python.locks.requirements import WantedPackage
from lambdad.bundler.workshop import Workshop

_EMPTY: Final = Node(None, "", 1, 1)


def read(path: RelPath, function: Function, workshop: Workshop) -> Manifest | None:
    """What the file asks for; None if there is none.

    Raises ProjectError, all faults together: `broken-config`, `bad-requirement`, `unknown-extra`.
    """
    content = workshop.seen.read(path)
    if content is None:
        return None
    top = located_toml.parse(decode(content, path), path).top
    tool = _at(top, "tool")
    is_poetry = bool(_at(tool, "poetry").fields) and "uv" not in tool.fields
    reading = _Reading(path=path, top=top, tool="poetry" if is_poetry else "uv")
    made = _manifest(reading, function)
    if reading.faults:
        raise ProjectError(*dict.fromkeys(reading.faults))
    return made


def _at(node: Node, *names: str) -> Node:
    for name in names:
        node = node.fields.get(name, _EMPTY)
    return node


@dataclass(slots=True, kw_only=True)
class _Reading:
    path: RelPath
    top: Node
    tool: str
    faults: list[Diagnostic] = field(default_factory=list)
    only_locked: list[Diagnostic] = field(default_factory=list)

    def fault(self, message: str, where: Location) -> None:
        self.faults.append(error("bad-requirement", message, where, "correct it"))

    @property
    def mend(self) -> str:
        return f"{self.tool} lock"


def _manifest(reading: _Reading, function: Function) -> Manifest:
    top = reading.top
    name = _at(top, "project", "name").value or _at(top, "tool", "poetry", "name").value
    own = canonicalize_name(name) if isinstance(name, str) else None
    known = _extras(reading)
    extras = _closure(reading, known, function.extras, own)
    groups = _groups(reading)
    reading.faults += locks.unknown("extras", function.extras, known, reading.path)
    reading.faults += locks.unknown("groups", function.groups, groups, reading.path)
    asked = [*_main(reading, {one for name in extras for one in _named_optional(reading, name)})]
    asked += [one for name in sorted(extras) for one in known.get(name, _nothing)()]
    asked += [one for name in function.groups for one in groups.get(name, _nothing)()]
    asked = [one for one in asked if one.one.name != own]
    for one in asked:
        if problem := manifests.only_locked(one, reading.mend):
            reading.only_locked.append(problem)
    indexes, named = _indexes(reading)
    dynamic = {item.text for item in _at(top, "project", "dynamic").items}
    return Manifest(
        path=reading.path,
        tool=reading.tool,
        name=own,
        asked=tuple(asked),
        constraints=_constraints(reading),
        extras=frozenset(extras),
        groups=frozenset(function.groups),
        indexes=indexes,
        named=named,
        dynamic="dependencies" in dynamic and not _at(top, "tool", "poetry", "dependencies").fields,
        needs_lock=tuple(dict.fromkeys(reading.only_locked)),
        document=_plain(top),
    )


def _plain(top: Node) -> Mapping[str, Any]:
    said = plain(top)
    return said if isinstance(said, dict) else {}


Several = Callable[[], Iterable[DeclaredDependency]]


def _nothing() -> Iterable[DeclaredDependency]:
    return ()


# --- main dependencies and extras ------------------------------------------------------------


def _main(reading: _Reading, optional: set[str]) -> Iterator[DeclaredDependency]:
    """`optional` are the names of Poetry's optional dependencies that an extra brings in."""
    project = _at(reading.top, "project")
    table = _at(reading.top, "tool", "poetry", "dependencies") if _is_poetry(reading) else _EMPTY
    listed = list(_requirements(reading, _at(project, "dependencies"), "project.dependencies"))
    if not listed or "dependencies" in {item.text for item in _at(project, "dynamic").items}:
        for one in _entries(reading, table):
            if not one.one.optional or one.one.name in optional:
                yield one
    else:
        # Poetry's table then only adds to what is listed: from where it comes, and when.
        more = {one.one.name: one.one for one in _entries(reading, table)}
        listed = [_enriched(one, more.get(one.one.name)) for one in listed]
    yield from listed


def _enriched(asked: DeclaredDependency, more: Dependency | None) -> DeclaredDependency:
    if more is None:
        return asked
    one = asked.one
    return replace(
        asked,
        one=replace(
            one,
            url=more.url or one.url,
            path=more.path or one.path,
            vcs=more.vcs or one.vcs,
            develop=more.develop,
            source=more.source,
            marker=_both(one, more),
        ),
    )


def _both(one: Dependency, more: Dependency) -> Any:
    if one.marker is None or more.marker is None:
        return one.marker or more.marker
    return poetry.marker(f"({one.marker}) and ({more.marker})")


def _is_poetry(reading: _Reading) -> bool:
    return reading.tool == "poetry"


def _extras(reading: _Reading) -> dict[str, Several]:
    """By normalised name what each extra asks for beside Poetry's optional dependencies."""
    found: dict[str, Several] = {}
    for name, node in _at(reading.top, "project", "optional-dependencies").fields.items():
        place = f"project.optional-dependencies.{name}"
        found[canonicalize_name(name)] = _later(_requirements, reading, node, place)
    if _is_poetry(reading):
        for name in _at(reading.top, "tool", "poetry", "extras").fields:
            found.setdefault(canonicalize_name(name), _nothing)
    return found


def _later(
    make: Callable[[_Reading, Node, str], Iterator[DeclaredDependency]],
    reading: _Reading,
    node: Node,
    name: str,
) -> Several:
    return lambda: make(reading, node, name)


def _named_optional(reading: _Reading, extra: str) -> Iterator[str]:
    if _is_poetry(reading):
        for name, node in _at(reading.top, "tool", "poetry", "extras").fields.items():
            if canonicalize_name(name) == extra:
                for item in node.items:
                    yield canonicalize_name(item.text)


def _closure(
    reading: _Reading, known: Mapping[str, Several], chosen: Iterable[str], own: str | None
) -> set[str]:
    """The extras, and those that they name as extras of the project itself."""
    found: set[str] = set()
    left = [canonicalize_name(name) for name in chosen]
    while left:
        name = left.pop()
        if name not in found and name in known:
            found.add(name)
            for one in known[name]():
                if one.one.name == own:
                    left.extend(map(canonicalize_name, one.one.extras))
    return found


def _requirements(reading: _Reading, node: Node, name: str) -> Iterator[DeclaredDependency]:
    """A list of PEP 508's requirements, each from where [tool.uv.sources] says."""
    if node.value is not None and not isinstance(node.value, list):
        reading.fault(f"{name} must be a list of texts", node.where)
    for item in node.items:
        if not isinstance(item.value, str):
            reading.fault(f"{name} must hold texts only", item.where)
            continue
        yield from _requirement(reading, item.value, item.where)


def _requirement(reading: _Reading, text: str, where: Location) -> Iterator[DeclaredDependency]:
    try:
        one = poetry.of_requirement(text)
    except BadDependencyError as fault:
        reading.fault(f"can't read {text!r}: {fault}", where)
        return
    for other in _sourced(reading, one, where):
        yield DeclaredDependency(one=other, text=text, where=where)


def _entries(reading: _Reading, table: Node) -> Iterator[DeclaredDependency]:
    """A table of Poetry's, by names."""
    for name, node in table.fields.items():
        if name.lower() == "python":
            continue
        try:
            for one in poetry.dependencies(name, plain(node)):
                yield DeclaredDependency(one=one, text=_shown(name, node), where=node.key_where)
        except BadDependencyError as fault:
            reading.fault(f"can't read what {name} is to be: {fault}", node.where)


def _shown(name: str, node: Node) -> str:
    return f"{name} {node.value}" if isinstance(node.value, str) else name


# --- groups ----------------------------------------------------------------------------------


def _groups(reading: _Reading) -> dict[str, Several]:
    """By normalised name what each group asks for."""
    by_name: dict[str, list[Several]] = {}

    def add(name: str, several: Several) -> None:
        by_name.setdefault(canonicalize_name(name), []).append(several)

    listed = _at(reading.top, "dependency-groups").fields
    for name in listed:
        add(name, _later(_group, reading, listed[name], name))
    tool = _at(reading.top, "tool")
    if "dev-dependencies" in _at(tool, "uv").fields:
        dev = _at(tool, "uv", "dev-dependencies")
        add("dev", _later(_requirements, reading, dev, "tool.uv.dev-dependencies"))
    if _is_poetry(reading):
        for name, node in _at(tool, "poetry", "group").fields.items():
            add(name, _later(_table, reading, _at(node, "dependencies"), name))
            for other in _at(node, "include-groups").items:
                add(name, _later(_included, reading, _at(tool, "poetry", "group"), other.text))
        if "dev-dependencies" in _at(tool, "poetry").fields:
            add("dev", _later(_table, reading, _at(tool, "poetry", "dev-dependencies"), "dev"))
    return {name: _chained(several) for name, several in by_name.items()}


def _chained(several: Iterable[Several]) -> Several:
    return lambda: (one for make in several for one in make())


def _table(reading: _Reading, node: Node, name: str) -> Iterator[DeclaredDependency]:
    return _entries(reading, node)


def _included(reading: _Reading, groups: Node, name: str) -> Iterator[DeclaredDependency]:
    """Of a group of Poetry's that another includes, what it lists itself."""
    wanted = canonicalize_name(name)
    for other, node in groups.fields.items():
        if canonicalize_name(other) == wanted:
            yield from _entries(reading, _at(node, "dependencies"))


def _group(
    reading: _Reading, node: Node, name: str, around: tuple[str, ...] = ()
) -> Iterator[DeclaredDependency]:
    """PEP 735: requirements, and other groups that are included."""
    groups = _at(reading.top, "dependency-groups").fields
    by_name = {canonicalize_name(other): other for other in groups}
    around = (*around, canonicalize_name(name))
    if not isinstance(node.value, list):
        reading.fault(f"dependency-groups.{name} must be a list", node.where)
    for item in node.items:
        if isinstance(item.value, str):
            yield from _requirement(reading, item.value, item.where)
            continue
        included = _at(item, "include-group").value
        other = by_name.get(canonicalize_name(included)) if isinstance(included, str) else None
        if other is None:
            reading.fault(f"dependency-groups.{name} includes a group that is none", item.where)
        elif canonicalize_name(other) in around:
            reading.fault(f"dependency-groups.{name} includes itself", item.where)
        else:
            yield from _group(reading, groups[other], other, around)


# --- what uv's tables add --------------------------------------------------------------------


def _sourced(reading: _Reading, one: Dependency, where: Location) -> Iterator[Dependency]:
    """The dependency from where [tool.uv.sources] has it: several, if markers distinguish them."""
    sources = _at(reading.top, "tool", "uv", "sources").fields
    node = next(
        (node for name, node in sources.items() if canonicalize_name(name) == one.name), None
    )
    if node is None:
        yield one
        return
    for source in node.items if isinstance(node.value, list) else [node]:
        said = _plain(source)
        texts = {key: value for key, value in said.items() if isinstance(value, str)}
        found = one
        if marker := texts.get("marker"):
            try:
                found = replace(
                    found, marker=_both(one, replace(one, marker=poetry.marker(marker)))
                )
            except BadDependencyError as fault:
                reading.fault(str(fault), source.where)
                continue
        if "path" in texts:
            found = replace(
                found, path=texts["path"], develop=said.get("editable") is True, versions="*"
            )
        elif "url" in texts:
            found = replace(found, url=texts["url"], versions="*")
        elif "git" in texts:
            found = replace(found, vcs=True)
        elif said.get("workspace") is True:
            message = f"only uv.lock says where {one.name} is in the workspace"
            reading.only_locked.append(needs_lock(message, where, reading.mend))
        yield found


def _constraints(reading: _Reading) -> tuple[WantedPackage, ...]:
    """[tool.uv] constraint-dependencies, for a resolution without uv's lock."""
    uv = _at(reading.top, "tool", "uv")
    if _at(uv, "override-dependencies").items:
        where = _at(uv, "override-dependencies").where
        message = "override-dependencies count in uv's own lock only"
        reading.only_locked.append(needs_lock(message, where, reading.mend))
    limits = _requirements(reading, _at(uv, "constraint-dependencies"), "constraint-dependencies")
    return tuple(manifests.wanted(one, "/") for one in limits if one.one.in_registry)


def _indexes(reading: _Reading) -> tuple[Indexes, tuple[tuple[str, str], ...]]:
    """The project's index, and the names of all. Several need the tool's own order among them."""
    tool = _at(reading.top, "tool")
    uv = [_plain(node) for node in _at(tool, "uv", "index").items]
    sources = [_plain(node) for node in _at(tool, "poetry", "source").items]
    tables = [*uv, *(sources if _is_poetry(reading) else ())]
    texts = [{key: one[key] for key in one if isinstance(one[key], str)} for one in tables]
    named = tuple((one.get("name", ""), one["url"]) for one in texts if "url" in one)
    old = _at(tool, "uv", "index-url").value
    urls = [url for _, url in named] + ([old] if isinstance(old, str) else [])
    alone = len(urls) == 1 and (
        tables == [] or tables[0].get("default") is True or _is_alone(tables[0], reading)
    )
    if (urls and not alone) or _at(tool, "uv", "extra-index-url").items:
        message = f"only {reading.tool} knows which of its indexes has which package"
        where = _at(tool, "uv", "index").where if uv else Location(reading.path)
        reading.only_locked.append(needs_lock(message, where, reading.mend))
    return Indexes(index_url=urls[0] if alone else None), named


def _is_alone(source: Mapping[str, Any], reading: _Reading) -> bool:
    """A primary source of Poetry's takes PyPI's place."""
    return _is_poetry(reading) and source.get("priority", "primary") in ("primary", "default")
