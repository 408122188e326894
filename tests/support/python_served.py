"""The index of python_index over HTTP, as uv, Poetry, pipenv and pip ask one; the real tools."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import uv
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from lambdad.bundler.model import Function, ProjectError
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.locks import projects
from lambdad.bundler.workshop import Workshop
from tests.support.python_index import Project

LOGIN = ("user", "s3cret")


class _Index(SimpleHTTPRequestHandler):
    """PEP 503 over a folder of files, with their digests; `login` guards it."""

    def __init__(self, *args: object, folder: Path, login: bool, **more: object) -> None:
        self.folder, self.login = folder, login
        super().__init__(*args, directory=str(folder), **more)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        expected = base64.b64encode(":".join(LOGIN).encode()).decode()
        if self.login and self.headers.get("Authorization") != f"Basic {expected}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic realm=index")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.startswith("/simple/"):
            self._page(self.path.removeprefix("/simple/").strip("/"))
        else:
            super().do_GET()

    def _page(self, name: str) -> None:
        links = [
            f'<a href="/{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}">'
            f"{path.name}</a>"
            for path in sorted(self.folder.iterdir())
            if _name_of(path.name) == canonicalize_name(name)
        ]
        body = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()
        self.send_response(200 if links else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nobody reads it."""


def _name_of(filename: str) -> str:
    if filename.endswith(".whl"):
        return parse_wheel_filename(filename)[0]
    return parse_sdist_filename(filename)[0]


@contextlib.contextmanager
def served(folder: Path, *, login: bool = False) -> Iterator[str]:
    """The URL of a simple index of the files in that folder."""
    handler = partial(_Index, folder=folder, login=login)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/simple"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def networked(project: Project, **more: str) -> Workshop:
    """The project's workshop with no index of pip's own, so that the lock's are asked."""
    environ = dict(project.workshop.environ)
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        environ.pop(name, None)
    home = Path(project.workshop.root).parent / "home"
    home.mkdir(exist_ok=True)
    return replace(project.workshop, environ={**environ, "HOME": str(home), **more})


def run(command: list[str], folder: Path, environ: Mapping[str, str]) -> str:
    """What a tool says on stdout; it must succeed."""
    done = subprocess.run(
        command, cwd=folder, env=dict(environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def outcome(folder: str, one: Function, workshop: Workshop) -> set[str]:
    """What reading that folder's lock comes to: the codes of its faults, if it has any."""
    try:
        found = projects.find(folder, None, one, workshop)
        if found is not None and found.format is not None:
            projects.lock(found, one, targets.of(one), workshop)
        elif found is not None:
            projects.open_requirements(found, targets.of(one), workshop)
    except ProjectError as fault:
        return {item.code for item in fault.diagnostics}
    return set()


def uv_lock(project: Project, folder: str, **more: str) -> None:
    """Runs the real `uv lock` there."""
    environ = {
        **networked(project).environ,
        "UV_CACHE_DIR": str(project.root.parent / "uv-cache"),
        "UV_PYTHON": sys.executable,
        **more,
    }
    run([uv.find_uv_bin(), "lock", "--quiet"], project.root / folder, environ)


# --- tools that are not ours to have ---------------------------------------------------------

VERSIONS = {"poetry": "2.5.1", "pipenv": "2026.10.3"}


@pytest.fixture(scope="session")
def poetry_bin(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _installed("poetry", tmp_path_factory)


@pytest.fixture(scope="session")
def pipenv_bin(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _installed("pipenv", tmp_path_factory)


def _installed(name: str, factory: pytest.TempPathFactory) -> str:
    """The tool, from the index that pip is configured to: once per run, in an environment of its
    own that lies with the tests' temporary folders."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    top = Path(os.environ.get("LAMBDAD_TEST_TOOLS") or base / "tools")
    top.mkdir(exist_ok=True, parents=True)
    asked = f"{name}=={VERSIONS[name]}"
    folder = top / asked
    with open(top / f"{name}.lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            binary = uv.find_uv_bin()
            subprocess.run(
                [binary, "venv", "--quiet", "--clear", "--seed", str(folder)], check=True
            )
            python = str(folder / "bin/python")
            # uv is the quicker one; pip also knows an index that is set for pip alone.
            for install in (
                [binary, "pip", "install", "--quiet", "--python", python, asked],
                [python, "-m", "pip", "install", "--quiet", asked],
            ):
                done = subprocess.run(install, capture_output=True, text=True, check=False)
                if done.returncode == 0:
                    break
            else:
                pytest.skip(f"can't install {asked}: {done.stderr[-500:]}")
            (folder / "done").touch()
    return str(folder / "bin" / name)


def poetry_lock(project: Project, poetry: str, folder: str, **more: str) -> None:
    """Runs the real `poetry lock` there."""
    environ = {
        **networked(project).environ,
        "POETRY_CACHE_DIR": str(project.root.parent / "poetry-cache"),
        "POETRY_VIRTUALENVS_CREATE": "false",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        **more,
    }
    run([poetry, "lock", "--no-interaction"], project.root / folder, environ)


def pipenv_lock(project: Project, pipenv: str, folder: str, **more: str) -> None:
    """Runs the real `pipenv lock` there."""
    environ = {
        **networked(project).environ,
        "PIPENV_IGNORE_VIRTUALENVS": "1",
        "PIPENV_YES": "1",
        "SOURCE_DATE_EPOCH": "315532800",  # what the test packages insist on
        "PIPENV_CACHE_DIR": str(project.root.parent / "pipenv-cache"),
        "WORKON_HOME": str(project.root.parent / "virtualenvs"),
        "PIPENV_DEFAULT_PYTHON_VERSION": sys.executable,
        **more,
    }
    run([pipenv, "lock"], project.root / folder, environ)


def as_older_lock(text: str, version: str) -> str:
    """A lock of Poetry 2 as Poetry 1 wrote it: without groups and markers, and in 1.1 with all
    files apart. What is left is what Poetry wrote."""
    kept = [line for line in text.splitlines() if not line.startswith(("groups = ", "markers = "))]
    older = "\n".join(kept).replace('lock-version = "2.1"', f'lock-version = "{version}"')
    if version == "2.0":
        return older + "\n"
    import re
    import tomllib

    files: dict[str, list[dict[str, str]]] = {}
    for package in tomllib.loads(older)["package"]:
        files.setdefault(package["name"], []).extend(package["files"])
    older = re.sub(r"^files = \[\n(?:    .*\n)*\]\n", "", older, flags=re.MULTILINE)
    tables = "".join(
        f"{name} = [{', '.join(_inline(one) for one in several)}]\n"
        for name, several in files.items()
    )
    return f"{older}\n\n[metadata.files]\n{tables}"


def _inline(one: Mapping[str, str]) -> str:
    return f'{{file = "{one["file"]}", hash = "{one["hash"]}"}}'
