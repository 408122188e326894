"""JSON documents that are believed only if this user's own runs wrote them, for the very purpose
that they are read for.

A seal is an HMAC-SHA256 under a key that no project knows (user_state.py). What the document is
about is part of it, so one that was written of another function, project or kind is a miss, as is
one that is torn, damaged or foreign.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
from dataclasses import dataclass, field
from typing import Any, Final

from lambdad.bundler.store.project_folder import OurFile

_MARK: Final = 64
"""Characters of a SHA-256 in hex."""


def encoded(document: object) -> bytes:
    """The document's bytes as JSON: always the same for equal documents."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def name_of(document: object) -> str:
    """A name for what the document alone decides: 64 hexadecimal digits."""
    return hashlib.sha256(encoded(document)).hexdigest()


@dataclass(frozen=True, slots=True)
class Seal:
    """Seals documents for one purpose."""

    secret: bytes = field(repr=False)

    def of(self, *about: object) -> Seal:
        """The seal of something narrower: JSON values say what. Neither opens the other's."""
        return Seal(hmac.digest(self.secret, encoded(about), "sha256"))

    def seal(self, document: object) -> bytes:
        """The document's bytes, sealed: always the same for equal documents."""
        body = encoded(document)
        return self._mark(body) + b"\n" + body

    def unseal(self, sealed: bytes) -> Any | None:
        """The document as this seal sealed it, or None if any byte of it is another."""
        body = sealed[_MARK + 1 :]
        if not hmac.compare_digest(sealed[: _MARK + 1], self._mark(body) + b"\n"):
            return None
        try:
            return json.loads(body)
        except ValueError:
            return None

    def _mark(self, body: bytes) -> bytes:
        return hmac.digest(self.secret, body, "sha256").hex().encode()


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file with a sealed document."""

    file: OurFile
    about: tuple[str, ...]
    """What the document is about, which its seal covers."""
    _seal: Seal | None = field(repr=False)
    """None: nothing there is believed."""

    @property
    def path(self) -> str:
        """Absolute; a name for it, and nothing to open."""
        return self.file.path

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for two that believe the same of the same file."""
        return self.path, self.about, self._seal

    def read(self) -> Any | None:
        """What was last written, or None if there is nothing to be believed. Raises BundlerError
        `not-ours`."""
        if self._seal is None:
            return None
        try:
            sealed = self.file.read()
        except OSError:
            return None
        return self._seal.of(*self.about).unseal(sealed)

    def write(self, document: object) -> os.stat_result:
        """The file's status is returned. Raises OSError, and BundlerError `not-ours`."""
        if self._seal is None:
            raise FileNotFoundError(errno.ENOENT, "the project has no identity", self.file.path)
        sealed = self._seal.of(*self.about).seal(document)
        return self.file.write(sealed, missable=True)
