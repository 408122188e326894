"""Credentials for private indexes, from where uv, Poetry and pipenv keep them.

They are looked up only where a URL is given to pip or uv, in their environment: never kept, never
shown. What pip itself knows (netrc, keyring, its configuration) it finds by itself.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlunsplit

from lambdad.bundler.inputs.reading import read_regular
from lambdad.bundler.located import anytoml
from lambdad.bundler.python.indexes import Indexes, of_pip, parts_of

Login = tuple[str, str]
"""User and password; either may be empty."""


def filled(
    sources: Indexes, named: Sequence[tuple[str, str]], environ: Mapping[str, str]
) -> Indexes:
    """The indexes with the credentials there are for them; `named` are names and URLs."""

    def fill(url: str) -> str:
        return _filled(url, named, environ)

    return replace(
        sources,
        index_url=fill(sources.index_url) if sources.index_url else None,
        extra_index_urls=tuple(fill(url) for url in sources.extra_index_urls),
    )


def expanded(url: str, environ: Mapping[str, str]) -> str:
    """The URL with $NAME and ${NAME} filled in; what is not set stays as it is written."""
    return re.sub(
        r"\$(?:\{(\w+)\}|(\w+))", lambda found: environ.get(found[1] or found[2]) or found[0], url
    )


def _filled(url: str, named: Sequence[tuple[str, str]], environ: Mapping[str, str]) -> str:
    parts = parts_of(url)
    if parts.scheme not in ("http", "https") or "@" in parts.netloc:
        return url
    names = [name for name, other in named if name and _same(other, url)]
    for login in (*_by_name(names, environ), *_by_url(url, environ)):
        user, password = (quote(part, safe="") for part in login)
        place = f"{user}:{password}@{parts.netloc}"
        return urlunsplit((parts.scheme, place, parts.path, parts.query, parts.fragment))
    return url


def _same(one: str, other: str) -> bool:
    return _bare(one).rstrip("/") == _bare(other).rstrip("/")


def _bare(url: str) -> str:
    """The URL without credentials."""
    parts = parts_of(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, place, parts.path, "", ""))


# --- by an index's name ----------------------------------------------------------------------


def _by_name(names: Sequence[str], environ: Mapping[str, str]) -> Iterator[Login]:
    """uv: "Indexes", "Providing credentials directly". Poetry: "Configuration", `http-basic`."""
    for name in names:
        variable = re.sub(r"[^A-Z0-9]", "_", name.upper())
        for prefix in ("UV_INDEX_", "POETRY_HTTP_BASIC_"):
            user = environ.get(f"{prefix}{variable}_USERNAME", "")
            password = environ.get(f"{prefix}{variable}_PASSWORD", "")
            if user or password:
                yield user, password
        login = _table(_poetry_file(environ), "http-basic", name)
        if login.get("username"):
            yield str(login["username"]), str(login.get("password") or "")


def _poetry_file(environ: Mapping[str, str]) -> Path:
    if own := environ.get("POETRY_CONFIG_DIR"):
        return Path(own) / "auth.toml"
    home = Path(environ.get("HOME") or "~").expanduser()
    if sys.platform == "darwin":
        return home / "Library/Application Support/pypoetry/auth.toml"
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pypoetry/auth.toml"


# --- by where it lies ------------------------------------------------------------------------


def _by_url(url: str, environ: Mapping[str, str]) -> Iterator[Login]:
    """What pip and uv have for the same place: URLs in variables and files, and uv's own store."""
    wanted = parts_of(url)
    ours, _ = of_pip(environ)
    of_pips = (ours.index_url or "", *ours.extra_index_urls)
    for other in (*_uv_variables(environ), *of_pips, *_uv_files(environ)):
        parts = parts_of(other)
        if (parts.scheme, parts.hostname, _port(other)) == (
            wanted.scheme,
            wanted.hostname,
            _port(url),
        ) and (parts.username or parts.password):
            yield parts.username or "", parts.password or ""
    for entry in _uv_store(environ):
        service = entry.get("service")
        if isinstance(service, str) and _covers(service, url):
            user, password = entry.get("username"), entry.get("password")
            if isinstance(password, str):
                yield user if isinstance(user, str) else "", password


def _port(url: str) -> int | None:
    try:
        return parts_of(url).port
    except ValueError:
        return None


def _covers(service: str, url: str) -> bool:
    """uv's store names a host, or a URL that the index's begins with."""
    if "://" not in service:
        service = f"https://{service}"
    top, below = _bare(service).rstrip("/"), _bare(url).rstrip("/")
    return below == top or below.startswith(f"{top}/")


def _uv_variables(environ: Mapping[str, str]) -> Iterator[str]:
    for name in ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"):
        for text in environ.get(name, "").split():
            # "name=URL", or the URL alone.
            before, equals, rest = text.partition("=")
            yield rest if equals and "://" not in before else text


def _uv_files(environ: Mapping[str, str]) -> Iterator[str]:
    """The user's and the system's uv.toml; the project's is the project's to show."""
    home = Path(environ.get("HOME") or "~").expanduser()
    own = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "uv/uv.toml"
    for path in (own, Path("/etc/uv/uv.toml")):
        said = _table(path)
        tables = said.get("index", [])
        found = [one.get("url") for one in tables if isinstance(one, dict)]
        found.append(said.get("index-url"))
        more = said.get("extra-index-url", [])
        for url in (*found, *(more if isinstance(more, list) else ())):
            if isinstance(url, str):
                yield url


def _uv_store(environ: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """What `uv auth login` has written."""
    home = Path(environ.get("HOME") or "~").expanduser()
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local/share") / "uv/credentials"
    folder = Path(environ.get("UV_CREDENTIALS_DIR") or data)
    for entry in _table(folder / "credentials.toml").get("credential", []):
        if isinstance(entry, dict):
            yield entry


_LARGEST: Final = 1 << 20
"""Bytes of a settings file; more is none."""


def _table(path: Path, *names: str) -> Mapping[str, Any]:
    """A table of a settings file; what can't be read there is its own tool's to complain of."""
    try:
        found: Any = anytoml.loads(read_regular(str(path), _LARGEST).decode())
    except (OSError, ValueError, RecursionError):
        return {}
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
