"""Where packages come from, and that pip and uv are told the same."""

from __future__ import annotations

import base64
import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lambdad.bundler.model import BundlerError
from lambdad.bundler.python import credentials, indexes
from lambdad.bundler.python.indexes import Indexes, Network
from tests.support.python_index import Project, installed, project

__all__ = ["project"]


def test_pip_configuration(tmp_path: Path) -> None:
    """Files are read in pip's order, the command's section over [global], variables over all."""
    home = tmp_path / "home"
    (home / ".pip").mkdir(parents=True)
    (home / ".config/pip").mkdir(parents=True)
    (home / ".pip/pip.conf").write_text("[global]\nindex-url = https://old.example\nproxy = p\n")
    (home / ".config/pip/pip.conf").write_text(
        "[global]\nindex_url = https://user.example\nextra-index-url =\n    https://a.example\n"
        "    https://b.example\ncert = /c.pem\n[download]\npre = yes\n[install]\nno-index = yes\n"
    )
    found = indexes.of_pip(
        {
            "HOME": str(home),
            "XDG_CONFIG_DIRS": str(tmp_path),
            "PIP_CONFIG_FILE": str(tmp_path / "absent"),
            "PIP_PROXY": "https://proxy.example",
            "PIP_FIND_LINKS": "/x /y",
        }
    )
    asked, network = found
    assert asked.index_url == "https://user.example"
    assert asked.extra_index_urls[-2:] == ("https://a.example", "https://b.example")
    assert asked.find_links == ("/x", "/y")
    assert asked.pre
    assert not asked.no_index
    assert network == replace(network, cert="/c.pem", proxy="https://proxy.example")


def test_no_configuration() -> None:
    """PIP_CONFIG_FILE set to the null device means no file at all, as pip has it."""
    assert indexes.of_pip({"PIP_CONFIG_FILE": os.devnull}) == (Indexes(), Network())


def test_requirements_replace_the_index() -> None:
    """A requirements file's --index-url replaces pip's; its other options are added."""
    user = Indexes(index_url="https://u.example", extra_index_urls=("https://x.example",))
    asked = Indexes(index_url="https://d.example", extra_index_urls=("https://y.example",))
    found = indexes.merged(user, asked)
    assert found.index_url == "https://d.example"
    assert found.extra_index_urls == ("https://x.example", "https://y.example")
    assert indexes.merged(user, Indexes(no_index=True)) == Indexes(no_index=True)


def test_uv_is_not_configured_by_others() -> None:
    """No UV_* variable that decides anything reaches uv; pip's way to the network does."""
    environ = {"UV_INDEX_URL": "x", "UV_RESOLUTION": "lowest", "UV_CACHE_DIR": "/c", "A": "1"}
    found = indexes.uv_environ(environ, Network(cert="/c.pem", proxy="https://p.example"))
    assert found == {
        "UV_CACHE_DIR": "/c",
        "A": "1",
        "SSL_CERT_FILE": "/c.pem",
        "HTTP_PROXY": "https://p.example",
        "HTTPS_PROXY": "https://p.example",
        "ALL_PROXY": "https://p.example",
    }


class Guarded(SimpleHTTPRequestHandler):
    """Serves a folder to who knows the password."""

    def do_GET(self) -> None:
        expected = base64.b64encode(b"user:secret").decode()
        if self.headers.get("Authorization") != f"Basic {expected}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic realm=index")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nobody reads it."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The host and port of an index that asks for a password."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Guarded, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_private_index(project: Project, tmp_path: Path) -> None:
    """An index with a password, its URL put together from variables, serves both tools."""
    folder = tmp_path / "served/simple/beta"
    folder.mkdir(parents=True)
    project.index.wheel("beta")
    name = "beta-1.0-py3-none-any.whl"
    (project.index.folder / name).rename(folder / name)
    (folder / "index.html").write_text(f'<!DOCTYPE html><a href="{name}">{name}</a>')
    project.lay(
        {"src/requirements.txt": "--index-url http://${CREDENTIALS}@${HOST}/simple\nbeta\n"}
    )
    environ = {**project.workshop.environ, "CREDENTIALS": "user:secret"}
    for unwanted in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        environ.pop(unwanted)
    with served(tmp_path / "served") as host:
        workshop = replace(project.workshop, environ={**environ, "HOST": host})
        assert installed(project.pack(workshop)) == ["beta-1.0"]
        stranger = replace(workshop, environ={**workshop.environ, "CREDENTIALS": "user:wrong"})
        project.lay({"src/requirements.txt": text_with_hash(project, host)})
        with pytest.raises(BundlerError) as caught:
            project.pack(stranger)
    assert caught.value.code == "index-denied"
    assert "secret" not in caught.value.message


def text_with_hash(project: Project, host: str) -> str:
    return f"--index-url http://user:wrong@{host}/simple\nbeta==1.1 --hash=sha256:{'0' * 64}\n"


def test_all_indexes_count(project: Project, tmp_path: Path) -> None:
    """The best version of all indexes is taken, as pip does, not that of the first that has one."""
    places = []
    for version in ("1.0", "2.0"):
        folder = tmp_path / version / "beta"
        folder.mkdir(parents=True)
        project.index.wheel("beta", version)
        name = f"beta-{version}-py3-none-any.whl"
        (project.index.folder / name).rename(folder / name)
        (folder / "index.html").write_text(f'<!DOCTYPE html><a href="{name}">{name}</a>')
        places.append(folder.parent.as_uri())
    # uv asks the extra ones first, pip all of them.
    lines = f"--index-url {places[1]}\n--extra-index-url {places[0]}\nbeta\n"
    project.lay({"src/requirements.txt": lines})
    environ = {**project.workshop.environ}
    environ.pop("PIP_NO_INDEX")
    assert installed(project.pack(replace(project.workshop, environ=environ))) == ["beta-2.0"]


@pytest.mark.parametrize("url", ["https://[", "https://[x]/simple", "http://a:b/", "//["])
def test_what_is_no_url_is_left_to_the_tools(url: str) -> None:
    """They refuse it in their own words; nothing of ours fails on it."""
    given = Indexes(index_url=url, extra_index_urls=(url,))
    assert credentials.filled(given, (), {"PIP_EXTRA_INDEX_URL": url}).index_url == url
    assert not indexes.has_secrets(given)
