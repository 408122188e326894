"""The project's files as they are at one moment, each folder and file looked at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping

BROKEN = "<<<"
"""A text that holds it is no program and no setting in any language here."""


class Disk:
    """For one look: nothing may change meanwhile. Paths are absolute."""

    def __init__(self) -> None:
        self._texts: dict[str, str | None] = {}
        self._folders: dict[str, str] = {}
        self._names: dict[str, Mapping[str, bool]] = {}

    def names(self, folder: str) -> Mapping[str, bool]:
        """What the folder holds, and whether that is a file, symlinks followed."""
        if folder not in self._names:
            try:
                with os.scandir(folder) as entries:
                    self._names[folder] = {entry.name: entry.is_file() for entry in entries}
            except OSError:
                self._names[folder] = {}
        return self._names[folder]

    def is_file(self, path: str) -> bool:
        folder, name = os.path.split(path)
        return self.names(folder).get(name, False)

    def is_folder(self, path: str) -> bool:
        folder, name = os.path.split(path)
        return not self.names(folder).get(name, True) and os.path.isdir(path)

    def real(self, path: str) -> str:
        """Of a file that is no symlink itself; there are none."""
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return f"{self._folders[folder]}/{name}"

    def read(self, path: str) -> str | None:
        if path not in self._texts:
            try:
                with open(path, encoding="utf-8") as file:
                    self._texts[path] = file.read()
            except OSError:
                self._texts[path] = None
        return self._texts[path]

    def json(self, path: str) -> dict[str, object] | None:
        text = self.read(path)
        if text is None:
            return None
        found = json.loads(text)
        assert isinstance(found, dict)
        return found

    def walk(self, top: str, *without: str) -> Iterator[tuple[str, str]]:
        """Each file below, as its path from there, and its text; no folder of those names."""
        for name, is_file in self.names(top).items():
            path = f"{top}/{name}"
            if not is_file:
                if name not in without:
                    for below, text in self.walk(path, *without):
                        yield f"{name}/{below}", text
            elif not name.endswith(".swp") and (text_ := self.read(path)) is not None:
                yield name, text_


def is_whole(text: str) -> bool:
    return BROKEN not in text and (not text or text.endswith("\n"))
