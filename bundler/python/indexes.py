"""Where packages come from: options of requirement files, and pip's own configuration for uv."""

from __future__ import annotations

import configparser
import functools
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from lambdad.bundler.tool_faults import scrubbed


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexes:
    """The options that decide what a resolver sees and takes."""

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    """URLs, or absolute paths."""
    no_index: bool = False
    pre: bool = False
    no_binary: tuple[str, ...] = ()
    only_binary: tuple[str, ...] = ()
    prefer_binary: bool = False
    trusted_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How pip is set to reach them; uv gets the same settings."""

    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    keyring: str | None = None


def lines(indexes: Indexes) -> list[str]:
    """As the head of a requirements file; index URLs with credentials are for the environment."""
    urls = not has_secrets(indexes)
    return [
        *_line("--index-url", [indexes.index_url] if indexes.index_url and urls else []),
        *_line("--extra-index-url", indexes.extra_index_urls if urls else ()),
        *_line("--find-links", indexes.find_links),
        *(["--no-index"] if indexes.no_index else []),
        *(["--pre"] if indexes.pre else []),
        *(["--prefer-binary"] if indexes.prefer_binary else []),
        *_line("--no-binary", indexes.no_binary),
        *_line("--only-binary", indexes.only_binary),
        *_line("--trusted-host", indexes.trusted_hosts),
    ]


def _line(option: str, values: Sequence[str]) -> list[str]:
    return [f"{option} {shlex.quote(value)}" for value in values]


def has_secrets(indexes: Indexes) -> bool:
    return any("@" in parts_of(url).netloc for url in _urls(indexes))


def parts_of(url: str) -> SplitResult:
    """The URL's parts; one that is no URL, such as `https://[`, is all path: the tool that is given
    it says what is wrong."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", url, "", "")


def _urls(indexes: Indexes) -> tuple[str, ...]:
    return (*([indexes.index_url] if indexes.index_url else ()), *indexes.extra_index_urls)


def pip_secrets(declared: Indexes, environ: Mapping[str, str]) -> dict[str, str]:
    """Of indexes with credentials what pip is to find in its environment, for it to hide and no
    file to hold. A variable takes the place of pip's configuration, so it has that, too."""
    if not has_secrets(declared):
        return {}
    user, _ = of_pip(environ)
    return _variables("PIP_", merged(user, declared))


def uv_secrets(indexes: Indexes) -> dict[str, str]:
    """The same for uv, of all its indexes."""
    return _variables("UV_", indexes) if has_secrets(indexes) else {}


def _variables(prefix: str, indexes: Indexes) -> dict[str, str]:
    found = {f"{prefix}EXTRA_INDEX_URL": " ".join(indexes.extra_index_urls)}
    return found | ({f"{prefix}INDEX_URL": indexes.index_url} if indexes.index_url else {})


def without_secrets(indexes: Indexes) -> Indexes:
    """The same as everybody may see it."""
    return replace(
        indexes,
        index_url=scrubbed(indexes.index_url) if indexes.index_url else None,
        extra_index_urls=tuple(scrubbed(url) for url in indexes.extra_index_urls),
    )


def merged(user: Indexes, declared: Indexes) -> Indexes:
    """pip's rule: a requirements file replaces the index, and adds to everything else."""
    if declared.no_index:
        user = replace(user, index_url=None, extra_index_urls=())
    return Indexes(
        index_url=declared.index_url or user.index_url,
        extra_index_urls=_joined(user.extra_index_urls, declared.extra_index_urls),
        find_links=_joined(user.find_links, declared.find_links),
        no_index=declared.no_index or user.no_index,
        pre=declared.pre or user.pre,
        no_binary=_joined(user.no_binary, declared.no_binary),
        only_binary=_joined(user.only_binary, declared.only_binary),
        prefer_binary=declared.prefer_binary or user.prefer_binary,
        trusted_hosts=_joined(user.trusted_hosts, declared.trusted_hosts),
    )


def strangers(declared: Indexes, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The indexes and places of links that the project names, and that the user has not set."""
    user, _ = of_pip(environ)
    own = {*_urls(user), user.index_url or default(), *user.find_links}
    known = {url.rstrip("/") for url in own}
    named = (*_urls(declared), *declared.find_links)
    return tuple(url for url in named if url.rstrip("/") not in known)


def without_places(declared: Indexes) -> Indexes:
    """The choices among files alone: where to look, and whose certificates to waive, the user
    says."""
    return replace(declared, index_url=None, extra_index_urls=(), find_links=(), trusted_hosts=())


def of_lock(urls: Sequence[str], environ: Mapping[str, str]) -> Indexes:
    """Where a lock says its files lie, beside the indexes that pip is configured to.

    PyPI's place is taken only if nothing of the lock is there and the user has set no other
    index: one that they have set may well be a mirror.
    """
    urls = list(dict.fromkeys(urls))
    others = [url for url in urls if url.rstrip("/") != default()]
    user, _ = of_pip(environ)
    if not others or len(others) < len(urls) or user.index_url or user.no_index:
        return Indexes(extra_index_urls=tuple(others))
    return Indexes(index_url=others[0], extra_index_urls=tuple(others[1:]))


@functools.cache
def default() -> str:
    """What pip, uv, Poetry and pipenv mean where no index is named: their locks and digests have
    it. pip's word for it, since pip fetches."""
    from pip._internal.models.index import PyPI

    return str(PyPI.simple_url)


def _joined(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def of_pip(environ: Mapping[str, str]) -> tuple[Indexes, Network]:
    """What pip's configuration files and PIP_* variables say, for the tools that read neither.

    pip's documentation, "Configuration": files in order, then the environment; in each the
    command's section over [global].
    """
    found: dict[str, str] = {}
    by_section: dict[str, dict[str, str]] = {"global": {}, "download": {}}
    for path in _config_files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself will say what is wrong with it
        for section, values in by_section.items():
            if parser.has_section(section):
                values |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    found |= by_section["global"] | by_section["download"]
    found |= {
        name[4:].lower().replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("PIP_") and value
    }
    indexes = Indexes(
        index_url=found.get("index-url"),
        extra_index_urls=tuple(found.get("extra-index-url", "").split()),
        find_links=tuple(found.get("find-links", "").split()),
        no_index=_truth(found.get("no-index")),
        pre=_truth(found.get("pre")),
        no_binary=tuple(found.get("no-binary", "").split()),
        only_binary=tuple(found.get("only-binary", "").split()),
        prefer_binary=_truth(found.get("prefer-binary")),
        trusted_hosts=tuple(found.get("trusted-host", "").split()),
    )
    network = Network(
        cert=found.get("cert"),
        client_cert=found.get("client-cert"),
        proxy=found.get("proxy"),
        keyring=found.get("keyring-provider"),
    )
    return indexes, network


def _truth(value: str | None) -> bool:
    return (value or "").strip().lower() in {"1", "true", "yes", "on", "y", "t"}


def _config_files(environ: Mapping[str, str]) -> list[Path]:
    """The least important first; a PIP_CONFIG_FILE takes the user's place, os.devnull all."""
    own = environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return []
    home = Path(environ.get("HOME") or "~").expanduser()
    site = Path(sys.prefix) / "pip.conf"
    if sys.platform == "darwin":
        shared = [Path("/Library/Application Support/pip/pip.conf")]
        library = home / "Library/Application Support/pip"
        personal = library if library.is_dir() else home / ".config/pip"
    else:
        folders = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
        shared = [*(Path(folder) / "pip/pip.conf" for folder in folders), Path("/etc/pip.conf")]
        personal = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip"
    users = [home / ".pip/pip.conf", personal / "pip.conf"]
    if own and Path(own).exists():
        users = []
    return [*shared, *users, site, *([Path(own)] if own else [])]


_UV_KEPT: Final = frozenset(
    {
        "UV_CACHE_DIR", "UV_CONCURRENT_BUILDS", "UV_CONCURRENT_DOWNLOADS", "UV_HTTP_RETRIES",
        "UV_HTTP_TIMEOUT", "UV_LINK_MODE", "UV_NATIVE_TLS", "UV_PYTHON_INSTALL_DIR",
        "UV_SYSTEM_CERTS",
    }
)  # fmt: skip


def uv_environ(environ: Mapping[str, str], network: Network) -> dict[str, str]:
    """The environment for uv: pip's way to the network, and no UV_* that would decide anything.

    The project alone decides what a resolver answers, so that every machine gets the same.
    """
    chosen = {
        name: value
        for name, value in environ.items()
        if not name.startswith("UV_") or name in _UV_KEPT
    }
    chosen.pop("VIRTUAL_ENV", None)
    if network.cert:
        chosen["SSL_CERT_FILE"] = network.cert
    if network.client_cert:
        chosen["SSL_CLIENT_CERT"] = network.client_cert
    if network.proxy:
        chosen |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), network.proxy)
    return chosen


def uv_flags(indexes: Indexes, network: Network) -> list[str]:
    """What uv takes as options only. Its default index strategy is not pip's, which is asked of

    all indexes for the best version: the wheels are fetched by pip, so both must see the same.
    """
    return [
        "--index-strategy=unsafe-best-match",
        *(["--prerelease=allow"] if indexes.pre else []),
        *(f"--allow-insecure-host={host}" for host in indexes.trusted_hosts),
        *([f"--keyring-provider={network.keyring}"] if network.keyring == "subprocess" else []),
    ]
