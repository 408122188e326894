"""Packages of the user's own that requirements refer to by path, built as wheels by content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lambdad.bundler import trust
from lambdad.bundler.inputs import tree
from lambdad.bundler.inputs.tree import Tree
from lambdad.bundler.model import ProjectError, RelPath, error, retried
from lambdad.bundler.python import built
from lambdad.bundler.python.built import NotBuiltError
from lambdad.bundler.python.locks.requirements import WantedPackage
from lambdad.bundler.python.target import Target
from lambdad.bundler.python.wheels import splice, wheel
from lambdad.bundler.python.wheels.wheel import Wheel
from lambdad.bundler.workshop import Workshop

EXCLUDE: Final = ("/build/", "/dist/", "!.gitignore")
"""What builds leave behind, and what hatchling reads to know what is no part of a package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPackage:
    wanted: WantedPackage
    wheel: Wheel
    digest: str
    """Of its source's contents."""
    source: RelPath | None = None
    """For this machine only: the folder that holds just what the wheel would install, so that it
    can be imported from there, edits included."""


def build(
    wanted: WantedPackage, target: Target, workshop: Workshop, allow: Sequence[RelPath]
) -> LocalPackage:
    """The wheel of a local package's folder as it is now; nothing is written into that folder.

    Raises ProjectError: `outside-repository`, `not-a-package`, `local-build-failed`, and what
    tree.walk finds. Raises BundlerError: `offline`, `untrusted-build`.
    """
    assert wanted.path is not None  # noqa: S101 - local packages have one
    top = os.path.relpath(wanted.path, workshop.root)
    _check_place(wanted, top, workshop, allow)
    if not workshop.seen.is_folder(top):
        message = f"there is no folder {top}"
        hint = "restore it, or take the reference to it out"
        raise ProjectError(error("missing-requirements", message, wanted.where, hint))
    walked = tree.walk(workshop.seen, top, exclude=EXCLUDE, allow=allow)
    names = {file.name for file in walked.files}
    if not names & {"pyproject.toml", "setup.py"}:
        message = f"{wanted.text} has neither pyproject.toml nor setup.py"
        hint = "name the folder that has one of them"
        raise ProjectError(error("not-a-package", message, wanted.where, hint))
    contents = [tree.read(workshop.seen, file) for file in walked.files]
    digest = _digest(walked, contents)
    in_place = f"local-{built.key_of('in place', top, _describing(walked, contents), target.key)}"
    known = built.recall(workshop, in_place) if target.host is not None else None
    found = wheel.load(workshop.store, known["wheel"]) if known else None
    if known and found:
        source = known["source"]
    else:
        found = _wheel(wanted, top, walked, contents, target=target, workshop=workshop)
        source = _source(found, top, walked, contents) if target.host is not None else None
        if source is not None:
            built.remember(workshop, in_place, {"wheel": found.sha256, "source": source})
    return LocalPackage(wanted=wanted, wheel=found, digest=digest, source=source)


def _wheel(
    wanted: WantedPackage,
    top: RelPath,
    walked: Tree,
    contents: Sequence[bytes],
    *,
    target: Target,
    workshop: Workshop,
) -> Wheel:
    key = f"local-{built.key_of('local', _digest(walked, contents), target.key)}"
    known = built.recall(workshop, key)
    found = wheel.load(workshop.store, known["wheel"]) if known else None
    if found is None:
        found = workshop.attempts.once(
            (key, wanted.text, wanted.where),
            lambda: _build(wanted, top, walked, contents, target=target, workshop=workshop),
        )
        built.remember(workshop, key, {"wheel": found.sha256})
    return found


def _describing(walked: Tree, contents: Sequence[bytes]) -> list[tuple[str, str]]:
    """The files that decide a package's name, needs and layout, each with its digest.

    They lie at its top. Modules there count only if the package is built by one of them.
    """
    by_name = dict(zip((file.name for file in walked.files), contents, strict=True))
    builds_itself = b"backend-path" in by_name.get("pyproject.toml", b"")
    return [
        (name, hashlib.sha256(content).hexdigest())
        for name, content in by_name.items()
        if "/" not in name and (name == "setup.py" or not name.endswith(".py") or builds_itself)
    ]


def _source(found: Wheel, top: RelPath, walked: Tree, contents: Sequence[bytes]) -> RelPath | None:
    """Where in the source all that the wheel installs lies as it is; None if nowhere."""
    digests = {
        file.name: hashlib.sha256(content).hexdigest()
        for file, content in zip(walked.files, contents, strict=True)
    }
    wanted = {
        name: file.sha256
        for name, file in splice.installed(found)
        if not name.startswith(f"{found.dist_info}/")
    }
    for first in sorted(wanted)[:1]:
        heads = [name[: -len(first)] for name in digests if f"/{name}".endswith(f"/{first}")]
        for head in sorted(heads, key=len):
            if all(digests.get(head + name) == one for name, one in wanted.items()):
                return os.path.normpath(os.path.join(top, head))
    return None


def _check_place(
    wanted: WantedPackage, top: RelPath, workshop: Workshop, allow: Sequence[RelPath]
) -> None:
    workshop.seen.file(top)
    if workshop.seen.leads_inside(top, allow):
        return
    message = f"{wanted.text} is outside the repository"
    hint = f'if that is meant, say so in lambdad.toml: allow = ["{top}"]'
    raise ProjectError(error("outside-repository", message, wanted.where, hint))


def _digest(walked: Tree, contents: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for file, content in zip(walked.files, contents, strict=True):
        digest.update(f"{file.name}\0{file.executable:d}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _build(
    wanted: WantedPackage,
    top: RelPath,
    walked: Tree,
    contents: Sequence[bytes],
    *,
    target: Target,
    workshop: Workshop,
) -> Wheel:
    if workshop.offline:
        raise built.offline(f"{wanted.text} must be built, and its build tools be fetched")
    if not workshop.trusted:
        raise trust.untrusted(f"{wanted.text} must be built, which runs its code")
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
            failed = error(
                "local-build-failed",
                f"{wanted.text} can't be built for {target}: {fault.reason}"
                f"{built.essence(fault.output)}",
                wanted.where,
                f"`pip wheel {wanted.text}` shows the same; correct the package's build",
            )
            raise ProjectError(*retried([failed])) from fault


def _files(
    copy: Path, walked: Tree, contents: Sequence[bytes]
) -> Iterator[tuple[Path, bytes, bool]]:
    for file, content in zip(walked.files, contents, strict=True):
        yield copy / file.name, content, file.executable
