"""What esbuild made of a build, and which of it is whose."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambdad.bundler.ecmascript.imports import package_of
from lambdad.bundler.esbuild import options as table
from lambdad.bundler.esbuild.closure import relative
from lambdad.bundler.esbuild.engine import EsbuildJob, EsbuildOutput
from lambdad.bundler.esbuild.plan import BundlePlan
from lambdad.bundler.model import RelPath
from lambdad.bundler.zips.zip_sources import SOURCE_MAP


@dataclass(frozen=True, slots=True)
class Success:
    """A build that went well, of one function or of many."""

    job: EsbuildJob
    output: EsbuildOutput
    records: Mapping[str, Mapping[str, Any]]
    """The metafile's records of the outputs, by absolute path."""

    @classmethod
    def of(cls, job: EsbuildJob, output: EsbuildOutput) -> Success:
        records = {
            os.path.normpath(os.path.join(job.folder, path)): record
            for path, record in output.metafile["outputs"].items()
        }
        return cls(job, output, records)


@dataclass(frozen=True, slots=True)
class Share:
    """One function's share of a build that went well."""

    files: Mapping[str, bytes]
    """By name in the zip."""
    handler: str
    """Of those the one with the handler's export."""
    record: Mapping[str, Any]
    """The metafile's record of that file."""
    roots: frozenset[str]
    """The names of the metafile's inputs that all the others were reached from."""
    has_assets: bool
    """It refers to other outputs, such as images and native modules."""
    external: tuple[str, ...]
    """Packages it refers to that are not in it, sorted."""
    sources: Mapping[str, Mapping[RelPath, int]]
    """Of each of `files` that esbuild made of sources, what each of these has in it, in bytes."""


def share(one: BundlePlan, built: Success, root: str) -> Share:
    """What of a build's output is this function's; `root` is the project's."""
    job, output, records = built.job, built.output, built.records
    extension = table.extension(one.function.esbuild)
    base = job.out_folder.rstrip("/") + "/"
    files: dict[str, bytes] = {}
    roots: set[str] = set()
    has_assets = False
    external: set[str | None] = set()
    for out, _path in one.entries:
        absolute = f"{one.code}/{out}{extension}"
        record = records[absolute]
        has_assets = has_assets or any(not item.get("external") for item in record["imports"])
        external |= {package_of(item["path"]) for item in record["imports"] if item.get("external")}
        roots |= {record["entryPoint"], *record["inputs"]}
        mine = [absolute]
        if "cssBundle" in record:
            mine.append(os.path.normpath(os.path.join(job.folder, record["cssBundle"])))
        for path in mine:
            for tail in ("", ".map", ".LEGAL.txt"):
                content = output.files.get(f"{path}{tail}".removeprefix(base))
                if content is not None:
                    files[f"{path}{tail}"[len(one.code) + 1 :]] = content
    if job.out_folder == one.code:
        files = dict(output.files)
    first = f"{one.entries[0][0]}{extension}"
    roots |= {relative(path, job.folder) for path in one.injected}
    return Share(
        files=files,
        handler=first,
        record=records[f"{one.code}/{first}"],
        roots=frozenset(roots),
        has_assets=has_assets,
        external=tuple(sorted(name for name in external if name is not None)),
        sources=_sources(one, built, files, root),
    )


_MAP_MARK: Final = b"//# sourceMappingURL=data:"


def _sources(
    one: BundlePlan, built: Success, files: Mapping[str, bytes], root: str
) -> Mapping[str, Mapping[RelPath, int]]:
    found = {}
    home = relative(one.folder, root)
    inlined = not {"--sourcemap=inline", "--sourcemap=both"}.isdisjoint(one.flags)
    for name, content in files.items():
        record = built.records.get(f"{one.code}/{name}")
        if record is None or not record["inputs"]:
            continue
        sources = {path: item["bytesInOutput"] for path, item in record["inputs"].items()}
        if home != ".":
            sources = {_from_root(path, home): size for path, size in sources.items()}
        if inlined and (start := content.rfind(_MAP_MARK)) >= 0:
            sources[SOURCE_MAP] = len(content) - start
        found[name] = sources
    return found


def _from_root(path: str, home: RelPath) -> RelPath:
    # esbuild names what is no file "<define:x>", and what `browser` turns off "(disabled):x".
    if path.startswith("<"):
        return path
    kind, colon, bare = path.rpartition("):")
    return f"{kind}{colon}{os.path.normpath(os.path.join(home, bare))}"
