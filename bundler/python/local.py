"""Packages of the user's own that requirements refer to by path, built as wheels by content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bundler import tree
from bundler.model import InputSet, ProjectError, RelPath, error
from bundler.python import built, wheel
from bundler.python.built import NotBuiltError
from bundler.python.requirements import Wanted
from bundler.python.target import Target
from bundler.python.wheel import Wheel
from bundler.tree import Tree
from bundler.workshop import Workshop

EXCLUDE: Final = ("/build/", "/dist/", "!.gitignore")
"""What builds leave behind, and what hatchling reads to know what is no part of a package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPackage:
    wanted: Wanted
    wheel: Wheel
    inputs: InputSet
    """Every file of its source."""


def build(
    wanted: Wanted, target: Target, workshop: Workshop, allow: Sequence[RelPath]
) -> LocalPackage:
    """The wheel of a local package's folder as it is now; nothing is written into that folder.

    Raises ProjectError: `outside-repository`, `not-a-package`, `local-build-failed`, and what
    tree.walk finds. Raises BundlerError: `offline`.
    """
    assert wanted.path is not None  # noqa: S101 - local packages have one
    top = os.path.relpath(wanted.path, workshop.root)
    _check_place(wanted, top, workshop, allow)
    walked = tree.walk(workshop, top, exclude=EXCLUDE, allow=allow)
    names = {file.name for file in walked.files}
    if not names & {"pyproject.toml", "setup.py"}:
        raise ProjectError(
            error(
                "not-a-package",
                f"{wanted.text} has neither pyproject.toml nor setup.py",
                wanted.where,
                "name the folder that has one of them",
            ),
            inputs=walked.inputs,
        )
    contents = [tree.read(workshop, file) for file in walked.files]
    key = f"local-{built.key_of('local', _digest(walked, contents), target.key)}"
    known = built.recall(workshop, key)
    found = wheel.load(workshop.store, known["wheel"]) if known else None
    if found is None:
        found = _build(wanted, top, walked, contents, target=target, workshop=workshop)
        built.remember(workshop, key, {"wheel": found.sha256})
    return LocalPackage(wanted=wanted, wheel=found, inputs=walked.inputs)


def _check_place(
    wanted: Wanted, top: RelPath, workshop: Workshop, allow: Sequence[RelPath]
) -> None:
    real = os.path.realpath(workshop.absolute(top))
    homes = (workshop.repository, *(workshop.absolute(path) for path in allow))
    for home in map(os.path.realpath, homes):
        if real == home or real.startswith(f"{home}/"):
            return
    raise ProjectError(
        error(
            "outside-repository",
            f"{wanted.text} lies outside of the repository",
            wanted.where,
            'if that is meant, name its folder in lambdad.toml: allow = ["..."]',
        ),
        inputs=InputSet(files=frozenset((top,))),
    )


def _digest(walked: Tree, contents: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for file, content in zip(walked.files, contents, strict=True):
        digest.update(f"{file.name}\0{file.executable:d}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _build(
    wanted: Wanted,
    top: RelPath,
    walked: Tree,
    contents: Sequence[bytes],
    *,
    target: Target,
    workshop: Workshop,
) -> Wheel:
    if workshop.offline:
        raise built.offline(f"{wanted.text} must be built, and its build tools be fetched")
    workshop.say(f"building {top}")
    with workshop.store.workspace() as folder:
        # Named as the user's folder: some build tools take the package's name from it.
        copy = folder / (Path(os.path.normpath(workshop.absolute(top))).name or "package")
        for path, file_content, executable in _files(copy, walked, contents):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file_content)
            path.chmod(0o755 if executable else 0o644)
        try:
            return built.build([str(copy)], target, workshop)
        except NotBuiltError as fault:
            raise ProjectError(
                error(
                    "local-build-failed",
                    f"{wanted.text} can't be built for {target}: {fault.reason}"
                    f"{built.essence(fault.output)}",
                    wanted.where,
                    f"`pip wheel {wanted.text}` shows the same; correct the package's build",
                ),
                inputs=walked.inputs,
            ) from fault


def _files(
    copy: Path, walked: Tree, contents: Sequence[bytes]
) -> Iterator[tuple[Path, bytes, bool]]:
    for file, content in zip(walked.files, contents, strict=True):
        yield copy / file.name, content, file.executable
