"""What an index answers, and no answer at all: whose fault it is, and that nothing remembers it."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler import build, tools
from lambdad.bundler.model import Built, BundlerError, Failed, Function, Outcome
from lambdad.bundler.python import locking
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.store import Store
from lambdad.bundler.toolchain import current_toolchain
from lambdad.bundler.workshop import Workshop
from tests.conftest import workshop_at, write_tree
from tests.support import faulty_index
from tests.support.faulty_index import IMPATIENT, STATUSES, WAYS, Behaviour
from tests.support.python_index import APP, Index, offline_environ
from tests.support.samples import function

RUNTIME = RUNTIMES[f"python3.{sys.version_info[1]}"]
"""pip-tools resolves only for the Python that runs it."""

REQUIREMENTS = {
    "uv": ("src/requirements.txt", "--index-url {url}/simple\n{asked}\n"),
    "pip-tools": ("src/requirements.in", "--index-url {url}/simple\n{asked}\n"),
    "pip": ("src/requirements.txt", "--index-url {url}/simple\nbeta==1.0 --hash=sha256:{digest}\n"),
}
"""What has each tool ask the index: two resolve, pip fetches what is locked."""


@dataclass
class Lab:
    """A project whose only dependency is in an index that may fail."""

    workshop: Workshop
    index: Index
    digest: str
    behaviour: Behaviour
    url: str = ""
    function: Function = field(default_factory=lambda: function(runtime=RUNTIME))

    def ask(self, tool: str, url: str | None = None, *, asked: str = "beta") -> None:
        file, text = REQUIREMENTS[tool]
        text = text.format(url=url or self.url, digest=self.digest, asked=asked)
        write_tree(Path(self.workshop.root), {"src/app.py": APP, file: text})

    def _build(self) -> Outcome:
        (outcome,) = build.build([self.function], self.workshop)
        return outcome

    def builds(self) -> Built:
        """The function's build, which succeeds."""
        outcome = self._build()
        assert isinstance(outcome, Built), outcome
        return outcome

    def fails(self) -> Failed:
        """The function's build, which fails."""
        outcome = self._build()
        assert isinstance(outcome, Failed), outcome
        return outcome


@pytest.fixture
def lab(tmp_path: Path, shared_store: Store) -> Iterator[Lab]:
    (tmp_path / "index").mkdir()
    index = Index(tmp_path / "index")
    # The store is shared for pip-tools' sake, and no other test may have this wheel in there.
    digest = index.wheel("beta", files={"beta/__init__.py": str(tmp_path).encode()})
    environ = {
        name: text
        for name, text in offline_environ(index.folder).items()
        if name not in ("PIP_NO_INDEX", "PIP_FIND_LINKS")
    }
    caches = {"UV_CACHE_DIR": f"{tmp_path}/uv", "PIP_CACHE_DIR": f"{tmp_path}/pip"}
    workshop = replace(
        workshop_at(tmp_path / "project", shared_store), environ=environ | caches | IMPATIENT
    )
    with faulty_index.served(index.folder) as (url, behaviour):
        yield Lab(workshop, index, digest, behaviour, url)


@pytest.fixture(scope="session")
def pip_tools(tmp_path_factory: pytest.TempPathFactory, shared_store: Store) -> None:
    """pip-tools is in the store, from the user's own index: an empty file asks for nothing else."""
    workshop = workshop_at(tmp_path_factory.mktemp("pip-tools"), shared_store)
    write_tree(Path(workshop.root), {"src/app.py": APP, "src/requirements.in": ""})
    try:
        locking.write_lock([function(runtime=RUNTIME)], current_toolchain(), workshop)
    except BundlerError as fault:
        pytest.skip(f"can't install pip-tools: {fault.message}")


@pytest.fixture(params=["uv", "pip-tools", "pip"])
def tool(request: pytest.FixtureRequest) -> str:
    """Which tool asks the index."""
    if request.param == "pip-tools":
        request.getfixturevalue("pip_tools")
    return str(request.param)


@pytest.fixture(params=["uv", "pip-tools"])
def resolver(request: pytest.FixtureRequest) -> str:
    if request.param == "pip-tools":
        request.getfixturevalue("pip_tools")
    return str(request.param)


def expected(way: str) -> str:
    return "index-denied" if way in ("401", "403", "407") else "no-network"


def codes(outcome: Failed) -> list[str]:
    return [item.code for item in outcome.diagnostics if item.code != "unlocked"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", ["page", "file"])
def test_an_index_that_fails(lab: Lab, tool: str, stage: str, way: str) -> None:
    """It is the machine's fault, in the tool's words."""
    lab.ask(tool)
    setattr(lab.behaviour, stage, way)
    failed = lab.fails()
    if stage == "file" and way in ("portal", "redirect") and tool != "uv":
        # It is some file, and not the one that the index promised.
        assert not failed.machine_fault
    else:
        assert (codes(failed), failed.machine_fault) == ([expected(way)], True)
    if way.isdigit():
        assert way in failed.diagnostics[-1].message


@pytest.mark.parametrize(("stage", "way"), [("page", "503"), ("file", "portal")])
def test_an_index_that_is_mended(lab: Lab, tool: str, stage: str, way: str) -> None:
    """The next build tries again, though no file of the project was touched."""
    lab.ask(tool)
    setattr(lab.behaviour, stage, way)
    lab.fails()
    setattr(lab.behaviour, stage, "")
    lab.builds()


def test_no_index_at_all(lab: Lab, tool: str, tmp_path: Path) -> None:
    """Nothing listens, no such host, a certificate that nobody vouches for."""
    with ExitStack() as stack:
        tls, _ = stack.enter_context(faulty_index.served(lab.index.folder, tls=tmp_path))
        for url in ("http://127.0.0.1:9", "https://no-such-host.invalid", tls):
            lab.ask(tool, url)
            failed = lab.fails()
            assert (codes(failed), failed.machine_fault) == (["no-network"], True), url
    lab.ask(tool)
    lab.builds()


@pytest.mark.parametrize("way", [*map(str, STATUSES), "reset", "half"])
def test_no_other_index_stands_in(lab: Lab, resolver: str, way: str, tmp_path: Path) -> None:
    """Where one index refuses or fails, another's package of the same name is not taken for it."""
    (tmp_path / "other").mkdir()
    Index(tmp_path / "other").wheel("beta", "9.0")
    with faulty_index.served(tmp_path / "other") as (other, _):
        file, text = REQUIREMENTS[resolver]
        text = f"--extra-index-url {other}/simple\n" + text.format(url=lab.url, asked="beta")
        write_tree(Path(lab.workshop.root), {"src/app.py": APP, file: text})
        lab.behaviour.page = way
        failed = lab.fails()
    assert (codes(failed), failed.machine_fault) == ([expected(way)], True)


def test_an_index_that_refuses_what_it_lacks(lab: Lab, resolver: str, tmp_path: Path) -> None:
    """Plain storage as an index answers 403 for what it lacks: one that gave another package in the
    same run does not refuse us."""
    (tmp_path / "other").mkdir()
    Index(tmp_path / "other").wheel("gamma")
    with faulty_index.served(tmp_path / "other", Behaviour(absent=403)) as (other, _):
        file, text = REQUIREMENTS[resolver]
        text = (
            f"--extra-index-url {other}/simple\n"
            + text.format(url=lab.url, asked="beta")
            + "gamma\n"
        )
        write_tree(Path(lab.workshop.root), {"src/app.py": APP, file: text})
        lab.builds()


@pytest.mark.parametrize("older", ["", "0.9"])
def test_published_after_the_failure(lab: Lab, tool: str, older: str) -> None:
    """A package that is not there is the project's fault, and is looked for again: neither our
    records nor the tools' caches hide what was published meanwhile."""
    lab.behaviour.max_age_s = 600
    (wheel,) = lab.index.folder.iterdir()
    away = wheel.rename(lab.index.folder.parent / wheel.name)
    if older:
        lab.index.wheel("beta", older)
    lab.ask(tool, asked="beta>=1.0")
    failed = lab.fails()
    assert (codes(failed), failed.machine_fault) == (["package-not-found"], False)
    away.rename(wheel)
    published = lab.builds()
    reason = "it failed with package-not-found, which may have been mended since"
    assert published.reasons == (reason,)


def test_credentials_mended_after_the_failure(lab: Lab, tool: str, tmp_path: Path) -> None:
    """A password that was wrong in netrc is right the next time, and stands in no message."""
    lab.behaviour.login = "Basic dXNlcjpyaWdodC0xMjM0"  # user:right-1234
    netrc = tmp_path / "netrc"
    lab.workshop = replace(
        lab.workshop, environ={**lab.workshop.environ, "NETRC": str(netrc), "HOME": str(tmp_path)}
    )
    lab.ask(tool)
    netrc.write_text("machine 127.0.0.1 login user password wrong-1234\n")
    netrc.chmod(0o600)
    failed = lab.fails()
    assert (codes(failed), failed.machine_fault) == (["index-denied"], True)
    assert "wrong-1234" not in repr(failed)
    netrc.write_text("machine 127.0.0.1 login user password right-1234\n")
    lab.builds()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_tool_that_is_killed(lab: Lab, tool: str, number: int) -> None:
    """The system ends what takes too much: nothing follows of it, and it is tried again."""
    lab.ask(tool)
    lab.behaviour.on_ask = lambda: to_tools(lambda pid: os.kill(pid, number))
    failed = lab.fails()
    assert (codes(failed), failed.machine_fault) == (["tool-killed"], True)
    lab.behaviour.on_ask = lambda: None
    lab.builds()


def test_too_little_memory(lab: Lab, tool: str) -> None:
    """A tool that gets no more memory fails or aborts in words of its own."""
    lab.ask(tool)
    lab.behaviour.on_ask = lambda: to_tools(starve)
    failed = lab.fails()
    assert failed.machine_fault, failed.diagnostics
    assert codes(failed)[0] in ("out-of-memory", "tool-killed", "system-limit")
    lab.behaviour.on_ask = lambda: None
    lab.builds()


def starve(pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))


def to_tools(do: Callable[[int], None]) -> None:
    """Does it to every tool that runs now."""
    for process in tuple(tools._running):
        do(process.pid)


def test_an_interrupted_build(lab: Lab, tool: str) -> None:
    """Whoever stops a build has its tools ended: that is no failure of the project."""
    lab.ask(tool)
    lab.behaviour.on_ask = tools.end_all
    failed = lab.fails()
    assert (codes(failed), failed.machine_fault) == (["interrupted"], True)
    lab.behaviour.on_ask = lambda: None
    lab.builds()


@pytest.mark.parametrize("folder", ["/proc/lambdad", "/dev/null/lambdad"])
def test_caches_that_cant_be_written(lab: Lab, tool: str, folder: str) -> None:
    """A container's home can seldom be written: then the tools' caches lie in the store."""
    lab.ask(tool)
    environ = {
        name: text
        for name, text in lab.workshop.environ.items()
        if name not in ("UV_CACHE_DIR", "PIP_CACHE_DIR", "XDG_CACHE_HOME")
    }
    lab.workshop = replace(lab.workshop, environ={**environ, "HOME": folder})
    lab.builds()
    there = lab.workshop.store.root / "caches"
    assert (there / ("uv" if tool == "uv" else "pip")).is_dir()


def test_many_functions_ask_once(lab: Lab) -> None:
    """Functions with the same requirements share one failure of a batch, and the next batch asks
    again."""
    lab.ask("uv")
    lab.behaviour.page = "404"
    several = tuple(replace(lab.function, name=f"F{number}") for number in range(5))
    for _ in range(2):
        lab.behaviour.asked.clear()
        outcomes = build.build(several, lab.workshop)
        assert [codes(one) for one in outcomes if isinstance(one, Failed)] == [
            ["package-not-found"]
        ] * 5
        assert len(lab.behaviour.asked) == 1


@pytest.mark.parametrize("missing", ["404", "401", "portal"])
def test_what_a_build_needs(lab: Lab, missing: str) -> None:
    """The tools that a package's build asks for come from the index, too, and pip does not tell why
    they don't."""
    files: dict[str, Any] = {
        "src/app.py": APP,
        "src/requirements.txt": f"--index-url {lab.url}/simple\n../own\n",
        "own/pyproject.toml": '[build-system]\nrequires = ["no-such-backend"]\n'
        'build-backend = "no_such_backend"\n',
    }
    write_tree(Path(lab.workshop.root), files)
    environ = {**lab.workshop.environ, "PIP_INDEX_URL": f"{lab.url}/simple"}
    lab.workshop = replace(lab.workshop, environ=environ)
    lab.behaviour.page = missing
    failed = lab.fails()
    code = "local-build-failed" if missing == "404" else expected(missing)
    assert (codes(failed), failed.machine_fault) == ([code], missing != "404")
    lab.behaviour.asked.clear()
    lab.fails()
    assert lab.behaviour.asked
