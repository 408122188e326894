"""An AWS CDK cloud assembly: the stacks that it holds, and what it says of their constructs.

Source: aws/aws-cdk, packages/aws-cdk-lib/cloud-assembly-schema, and what 2.40 and 2.276 write.
People don't edit these files, so a fault in them has no more exact place than the file.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from lambdad.bundler.config.declared import Said
from lambdad.bundler.config.files import CDK_MANIFEST
from lambdad.bundler.config.paths import folder_of
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located import anyjson
from lambdad.bundler.located.located import broken, shortened, too_deep
from lambdad.bundler.model import Location, ProjectError, RelPath, error

SIZE: Final = 64 << 20
"""Bytes; manifests hold metadata of every construct, trees their properties too."""

DEEP: Final = 20
"""Assemblies in assemblies: a Stage each."""

SYNTH: Final = "run cdk synth"


@dataclass(frozen=True, slots=True)
class Stack:
    """A template, and what its assembly says of it."""

    file: RelPath
    path: str
    """Its construct's."""
    folder: RelPath
    """Of its assembly: paths start there."""
    assets: Mapping[str, str]
    """Files that a deploy uploads: their paths as written, by the name that they get in S3."""
    metadata: Mapping[str, object]
    """By construct path, with "/" before it; as in the manifest."""
    metadata_file: RelPath | None = None
    """Where newer versions keep it."""


@dataclass(slots=True)
class Assembly:
    seen: Seen
    top: RelPath
    """The folder."""
    stacks: list[Stack] = field(default_factory=list)
    tree_file: RelPath | None = None
    _loaded: dict[RelPath, Mapping[str, object]] = field(default_factory=dict)
    """Files that few functions need."""

    def later(self, file: RelPath) -> Mapping[str, object]:
        """What the file holds; nothing if it can't be read, since it only adds details."""
        if file not in self._loaded:
            try:
                self._loaded[file] = _load(self.seen, file, Location(file))
            except ProjectError:
                self._loaded[file] = {}
        return self._loaded[file]


def open_assembly(seen: Seen, manifest: Said[RelPath]) -> Assembly:
    """Everything but the templates. Raises ProjectError."""
    assembly = Assembly(seen, folder_of(manifest.value))
    _read_manifest(assembly, manifest, ())
    return assembly


def _read_manifest(assembly: Assembly, manifest: Said[RelPath], above: tuple[RelPath, ...]) -> None:
    file = manifest.value
    if file in above or len(above) >= DEEP:
        raise broken("nests itself", file)
    artifacts = entries(_load(assembly.seen, file, manifest.where).get("artifacts"))
    folder = folder_of(file)
    where = Location(file)
    assets: dict[str, str] = {}
    inner: list[RelPath] = []
    stacks: list[tuple[str, Mapping[str, object]]] = []
    for name, artifact in artifacts.items():
        said = entries(artifact)
        properties = entries(said.get("properties"))
        match said.get("type"):
            case "aws:cloudformation:stack":
                stacks.append((name, said))
            case "cdk:cloud-assembly":
                path = _inside(assembly, folder, properties.get("directoryName"), where)
                inner.append(f"{path}/{CDK_MANIFEST}")
            case "cdk:asset-manifest":
                path = _inside(assembly, folder, properties.get("file"), where)
                assets.update(_assets(_load(assembly.seen, path, where)))
            case "cdk:tree" if not above:
                assembly.tree_file = _inside(assembly, folder, properties.get("file"), where)
    for name, said in stacks:
        properties = entries(said.get("properties"))
        extra = said.get("additionalMetadataFile")
        stack = Stack(
            file=_inside(assembly, folder, properties.get("templateFile"), where),
            path=text(said.get("displayName")) or name,
            folder=folder,
            assets=assets,
            metadata=entries(said.get("metadata")),
            metadata_file=_inside(assembly, folder, extra, where) if extra else None,
        )
        assembly.stacks.append(stack)
    for path in inner:
        _read_manifest(assembly, Said(path, where), (*above, file))


def _assets(manifest: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for asset in entries(manifest.get("files")).values():
        source = text(entries(entries(asset).get("source")).get("path"))
        for destination in entries(entries(asset).get("destinations")).values():
            key = text(entries(destination).get("objectKey"))
            if key and source:
                yield key, source


def _inside(assembly: Assembly, folder: RelPath, path: object, where: Location) -> RelPath:
    """The path of a file that belongs to the assembly. Raises ProjectError if it leads out."""
    joined = posixpath.normpath(posixpath.join(folder, text(path) or "."))
    if not joined.startswith(f"{assembly.top}/") or not joined.isprintable():
        message = f"names {shortened(str(path))}, which is no file of the assembly"
        raise ProjectError(error("broken-config", message, where, f"{SYNTH} again"))
    return joined


def _load(seen: Seen, file: RelPath, where: Location) -> Mapping[str, object]:
    """The object that the file holds. Raises ProjectError."""
    content = seen.read(file, SIZE)
    if content is None:
        message = f"there is no {shortened(file)}: the cloud assembly is not there, or not whole"
        raise ProjectError(error("missing-synth", message, where, f"{SYNTH}: it writes it"))
    try:
        loaded = anyjson.loads(content)
    except json.JSONDecodeError as fault:
        message = fault.msg[:1].lower() + fault.msg[1:]
        raise broken(message, file, fault.lineno, fault.colno) from fault
    except RecursionError as fault:
        raise too_deep(file) from fault
    except ValueError as fault:
        # Not UTF-8, or a number of more digits than Python converts.
        raise broken(shortened(str(fault)), file) from fault
    if not isinstance(loaded, dict):
        raise broken("not a cloud assembly's: it holds no object", file)
    return loaded


def entries(value: object) -> Mapping[str, object]:
    """The object's, none of anything else."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


# --- what it says of a construct -----------------------------------------------------------------


def path_of(assembly: Assembly, stack: Stack, logical_id: str) -> str | None:
    """The construct path of a resource, where its template does not say it."""
    metadata = stack.metadata
    if stack.metadata_file:
        metadata = {**metadata, **assembly.later(stack.metadata_file)}
    found = []
    for path, told in metadata.items():
        if not path.startswith(f"/{stack.path}/") or not isinstance(told, list):
            continue
        for entry in map(entries, told):
            if entry.get("type") == "aws:cdk:logicalId" and entry.get("data") == logical_id:
                found.append(path[1:])
    # A nested stack's constructs are listed with those of the stack above, by logical ids of their
    # own: equal ones are equal relative paths, so that the shortest is this stack's.
    return min(found, key=len, default=None)


def classes_of(assembly: Assembly, path: str) -> tuple[str, ...]:
    """What the constructs on the way to the path are made from, the outermost first."""
    if assembly.tree_file is None:
        return ()
    node = entries(assembly.later(assembly.tree_file).get("tree"))
    found = []
    for part in path.split("/"):
        node = entries(entries(node.get("children")).get(part))
        found.append(text(entries(node.get("constructInfo")).get("fqn")))
    return tuple(found)
