"""Functions' names: each becomes a file's name, so some are not possible, and some not together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lambdad.bundler.config.declared import Draft
from lambdad.bundler.located.located import shortened
from lambdad.bundler.model import Failed, Location, NotBuilt, error

LONGEST: Final = 200
"""Bytes: file systems take 255 in a name, and ours get an ending."""


def is_safe(name: str) -> bool:
    """Whether it can be a file's name everywhere, "/" written as "-", and be shown in a
    terminal."""
    parts = name.split("/")
    return (
        all(part not in ("", ".", "..") and part == part.strip() for part in parts)
        and name.isprintable()
        and "\\" not in name
        and not name.startswith(("-", "."))
        and len(name.encode(errors="replace")) <= LONGEST
    )


def file_name(name: str) -> str:
    """The name of the function's files, without their ending."""
    return name.replace("/", "-")


def sort_out(drafts: Iterable[Draft]) -> tuple[list[Draft], list[NotBuilt]]:
    """Those whose names are possible, and the others, one for each name."""
    groups: dict[str, list[Draft]] = {}
    bad: list[NotBuilt] = []
    for draft in drafts:
        if is_safe(draft.name):
            groups.setdefault(_folded(draft.name), []).append(draft)
        else:
            bad.append(_unsafe(draft))
    good: list[Draft] = []
    for group in groups.values():
        if len(group) == 1:
            good += group
        else:
            bad += _clash(group)
    return good, bad


def _folded(name: str) -> str:
    import unicodedata

    if name.isascii():
        return file_name(name).lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", file_name(name)).casefold())


def _unsafe(draft: Draft) -> NotBuilt:
    message = f"\"{shortened(draft.name)}\" can't be a function's name: it would be a file's name"
    hint = "rename it: letters, digits, - and _"
    fault = error("bad-name", message, draft.where, hint)
    return draft.not_built(Failed, fault)


def _clash(group: list[Draft]) -> Iterable[NotBuilt]:
    by_name = {draft.name: draft for draft in reversed(group)}
    for name, draft in sorted(by_name.items()):
        others = [other for other in group if other is not draft]
        places = ", ".join(f'"{other.name}" at {_shown(other.where)}' for other in others)
        same = all(other.name == name for other in others)
        message = f'"{name}" is declared twice' if same else f'"{name}" would share its file'
        fault = error("name-clash", f"{message}: also {places}", draft.where, "rename one of them")
        yield draft.not_built(Failed, fault)


def _shown(where: Location) -> str:
    return where.file if where.line is None else f"{where.file}:{where.line}"
