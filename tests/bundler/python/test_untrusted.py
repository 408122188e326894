"""An untrusted project sends nothing: no index that it names is asked, no variable is expanded."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lambdad.bundler import build
from lambdad.bundler.model import Built, Failed, Outcome
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop
from tests.conftest import workshop_at, write_tree
from tests.support import faulty_index
from tests.support.faulty_index import IMPATIENT, Behaviour
from tests.support.python_index import APP, Index, offline_environ
from tests.support.samples import function

SECRET = "s3cret-of-the-user"
RUNTIME = RUNTIMES[f"python3.{sys.version_info[1]}"]
LOCKED = "beta==1.0 --hash=sha256:{digest}\n"
PYPROJECT = '[project]\nname = "app"\nversion = "0.1"\nrequires-python = ">=3.8"\n'
ASKS = f'{PYPROJECT}dependencies = ["beta"]\n'
POETRY = """
[tool.poetry.dependencies]
python = ">=3.8"
beta = "*"
"""
WHEEL = "beta-1.0-py3-none-any.whl"

Files = Mapping[str, str]

NAMING: Mapping[str, Files] = {
    "--index-url": {"src/requirements.txt": "--index-url {url}/simple\n" + LOCKED},
    "-i": {"src/requirements.txt": "-i {url}/simple\n" + LOCKED},
    "--extra-index-url": {"src/requirements.txt": "--extra-index-url {url}/simple\n" + LOCKED},
    "--find-links": {"src/requirements.txt": "--no-index\n-f {url}/simple/beta/\n" + LOCKED},
    "a page of links": {
        "src/requirements.txt": "--no-index\n--find-links links.html\n" + LOCKED,
        "src/links.html": f'<a href="{{url}}/{WHEEL}">{WHEEL}</a>',
    },
    "a file that is included": {
        "src/requirements.txt": "-r ../more.txt\n" + LOCKED,
        "more.txt": "-c limits.txt\n",
        "limits.txt": "--index-url {url}/simple\n",
    },
    "the source of a lock": {
        "src/requirements.in": "--index-url {url}/simple\nbeta\n",
        "src/requirements.txt": LOCKED,
    },
    "a URL": {"src/requirements.txt": f"beta @ {{url}}/{WHEEL} --hash=sha256:{{digest}}\n"},
    "a URL without a name": {"src/requirements.txt": f"{{url}}/{WHEEL} --hash=sha256:{{digest}}\n"},
    "a URL, unlocked": {"src/requirements.txt": f"beta @ {{url}}/{WHEEL}\n"},
    "unlocked": {"src/requirements.txt": "--index-url {url}/simple\nbeta\n"},
    "a secret in an index": {
        "src/requirements.txt": "--index-url {url}/${MY_SECRET}/simple\n" + LOCKED
    },
    "a password": {"src/requirements.txt": "-i {scheme}://u:${MY_SECRET}@{host}/simple\n" + LOCKED},
    "a secret in a URL": {
        "src/requirements.txt": f"beta @ {{url}}/${{MY_SECRET}}/{WHEEL} --hash=sha256:{{digest}}\n"
    },
    "a secret in a page of links": {
        "src/requirements.txt": "--no-index\n-f {url}/${MY_SECRET}/beta/\n" + LOCKED
    },
    "pylock.toml, index": {
        "src/pylock.toml": 'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "beta"\n'
        'version = "1.0"\nindex = "{url}/simple"\nwheels = [{ name = "' + WHEEL + '", url = "{url}/'
        + WHEEL + '", hashes = { sha256 = "{digest}" } }]\n'
    },
    "pylock.toml, wheel": {
        "src/pylock.toml": 'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "beta"\n'
        'version = "1.0"\nwheels = [{ name = "' + WHEEL + '", url = "{url}/' + WHEEL
        + '", hashes = { sha256 = "{digest}" } }]\n'
    },
    "pylock.toml, archive": {
        "src/pylock.toml": 'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "beta"\n'
        'version = "1.0"\narchive = { url = "{url}/' + WHEEL
        + '", hashes = { sha256 = "{digest}" } }\n'
    },
    "uv.lock, index": {
        "src/pyproject.toml": ASKS,
        "src/uv.lock": 'version = 1\nrevision = 3\nrequires-python = ">=3.8"\n[[package]]\n'
        'name = "app"\nversion = "0.1"\nsource = { virtual = "." }\ndependencies = [{ name = "beta"'
        ' }]\n[package.metadata]\nrequires-dist = [{ name = "beta" }]\n[[package]]\nname = "beta"\n'
        'version = "1.0"\nsource = { registry = "{url}/simple" }\nwheels = [{ url = "{url}/' + WHEEL
        + '", hash = "sha256:{digest}" }]\n',
    },
    "uv.lock, URL": {
        "src/pyproject.toml": ASKS + "[tool.uv.sources]\nbeta = { url = '{url}/" + WHEEL + "' }\n",
        "src/uv.lock": 'version = 1\nrevision = 3\nrequires-python = ">=3.8"\n[[package]]\n'
        'name = "app"\nversion = "0.1"\nsource = { virtual = "." }\ndependencies = [{ name = "beta"'
        ' }]\n[package.metadata]\nrequires-dist = [{ name = "beta", url = "{url}/' + WHEEL
        + '" }]\n[[package]]\nname = "beta"\nversion = "1.0"\nsource = { url = "{url}/' + WHEEL
        + '" }\nwheels = [{ url = "{url}/' + WHEEL + '", hash = "sha256:{digest}" }]\n',
    },
    "[tool.uv] index": {
        "src/pyproject.toml": ASKS + '[[tool.uv.index]]\nname = "own"\nurl = "{url}/simple"\n'
        "default = true\n"
    },
    "[tool.uv] index-url": {"src/pyproject.toml": ASKS + '[tool.uv]\nindex-url = "{url}/simple"\n'},
    "poetry.lock": {
        "src/pyproject.toml": PYPROJECT + POETRY + '[[tool.poetry.source]]\nname = "own"\n'
        'url = "{url}/simple"\n',
        "src/poetry.lock": '[[package]]\nname = "beta"\nversion = "1.0"\ndescription = ""\n'
        'optional = false\npython-versions = "*"\ngroups = ["main"]\nfiles = [{file = "' + WHEEL
        + '", hash = "sha256:{digest}"}]\n[package.source]\ntype = "legacy"\nurl = "{url}/simple"\n'
        'reference = "own"\n[metadata]\nlock-version = "2.1"\npython-versions = ">=3.8"\n'
        'content-hash = ""\n',
    },
    "[tool.poetry.source]": {
        "src/pyproject.toml": PYPROJECT + POETRY + '[[tool.poetry.source]]\nname = "own"\n'
        'url = "{url}/simple"\n'
    },
    "Pipfile.lock": {
        "src/Pipfile": '[[source]]\nname = "own"\nurl = "{url}/$MY_SECRET/simple"\n'
        'verify_ssl = true\n[packages]\nbeta = "*"\n',
        "src/Pipfile.lock": '{"_meta": {"hash": {}, "pipfile-spec": 6, "sources": [{"name": "own", '
        '"url": "{url}/${MY_SECRET}/simple", "verify_ssl": true}]}, "default": {"beta": {"hashes": '
        '["sha256:{digest}"], "index": "own", "version": "==1.0"}}, "develop": {}}',
    },
    "Pipfile": {
        "src/Pipfile": '[[source]]\nname = "own"\nurl = "{url}/$MY_SECRET/simple"\n'
        'verify_ssl = true\n[packages]\nbeta = "*"\n'
    },
}  # fmt: skip
"""Every way in which a project names where its packages come from. Once it is trusted, each leads
to that server."""

SETTINGS: Mapping[str, str] = {
    "pip.conf": "[global]\nindex-url = {url}/simple\nfind-links = {url}/links/\n",
    ".pip/pip.conf": "[global]\nindex-url = {url}/simple\n",
    ".config/pip/pip.conf": "[global]\nindex-url = {url}/simple\n",
    "src/pip.conf": "[global]\nindex-url = {url}/simple\n",
    "uv.toml": 'index-url = "{url}/simple"\n',
    "src/uv.toml": 'index-url = "{url}/simple"\n',
    "setup.cfg": "[easy_install]\nindex_url = {url}/simple\n",
    "poetry.toml": '[repositories]\nown = "{url}/simple"\n',
    ".pypirc": "[distutils]\nindex-servers = own\n[own]\nrepository = {url}\n",
    ".env": "PIP_INDEX_URL={url}/simple\nUV_INDEX_URL={url}/simple\n",
    ".npmrc": "registry={url}/\n",
}
"""Settings of tools that lie in a project. They are the project's own and count for nobody."""


@dataclass
class Lab:
    """A project, the user's own index and a stranger's. Both write down what they are asked."""

    workshop: Workshop
    digest: str
    url: str
    stranger: Behaviour
    own: Behaviour

    def lay(self, files: Files) -> None:
        scheme, _, host = self.url.partition("://")
        for name, text in {"src/app.py": APP, **files}.items():
            filled = text
            for key, value in {
                "url": self.url, "digest": self.digest, "scheme": scheme, "host": host,
            }.items():  # fmt: skip
                filled = filled.replace(f"{{{key}}}", value)
            write_tree(Path(self.workshop.root), {name: filled})

    def build(self, *, trusted: bool) -> Outcome:
        workshop = replace(self.workshop, trusted=trusted)
        (outcome,) = build.build([function(runtime=RUNTIME)], workshop)
        return outcome


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    for name in ("index", "own", "home"):
        (tmp_path / name).mkdir()
    digest = Index(tmp_path / "index").wheel("beta")
    with ExitStack() as stack:
        url, stranger = stack.enter_context(faulty_index.served(tmp_path / "index"))
        own_url, own = stack.enter_context(faulty_index.served(tmp_path / "own"))
        environ = offline_environ(tmp_path)
        del environ["PIP_NO_INDEX"], environ["PIP_FIND_LINKS"], environ["PIP_CONFIG_FILE"]
        environ |= {**IMPATIENT, "HOME": f"{tmp_path}/home", "PIP_INDEX_URL": f"{own_url}/simple"}
        environ |= {"MY_SECRET": SECRET, "XDG_CONFIG_DIRS": f"{tmp_path}/home"}
        workshop = workshop_at(tmp_path / "project", Store(tmp_path / "store"))
        yield Lab(replace(workshop, environ=environ), digest, url, stranger, own)


@pytest.mark.parametrize("name", NAMING)
def test_no_index_that_the_project_names(lab: Lab, name: str) -> None:
    """It is not built, nobody is asked instead, and trust alone makes it ask."""
    lab.lay(NAMING[name])
    refused = lab.build(trusted=False)
    assert lab.stranger.asked == []
    assert SECRET not in lab.own.text
    assert isinstance(refused, Failed)
    assert refused.machine_fault
    assert [item.code for item in refused.diagnostics] == ["untrusted-build"]
    # What a pylock.toml locks by its hash may come from the user's own index, and from no other.
    if not name.startswith("pylock.toml"):
        assert not any("/simple/beta/" in path for path in lab.own.paths)
    lab.build(trusted=True)
    assert lab.stranger.asked
    if "SECRET" in str(NAMING[name]):
        assert "s3cret" in lab.stranger.text or "Authorization" in lab.stranger.text


@pytest.mark.parametrize("name", [name for name in NAMING if "SECRET" not in str(NAMING[name])])
def test_what_is_there_already_is_built(lab: Lab, name: str) -> None:
    """What a trusted build fetched needs nobody any more, and an untrusted one comes to the same:
    what decides is the lock, by its hashes."""
    lab.lay(NAMING[name])
    first = lab.build(trusted=True)
    if not isinstance(first, Built):
        pytest.skip("the stranger's index does not have it")
    lab.stranger.asked.clear()
    lab.lay({"src/app.py": APP + "# another\n"})
    second = lab.build(trusted=False)
    assert lab.stranger.asked == []
    assert isinstance(second, Built), second


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_tools_in_the_project(lab: Lab, name: str, trusted: bool) -> None:
    """They name an index, and no tool that we run reads them."""
    lab.lay({name: SETTINGS[name], "src/requirements.txt": LOCKED})
    outcome = lab.build(trusted=trusted)
    assert lab.stranger.asked == []
    assert isinstance(outcome, Failed)
    (code,) = [item.code for item in outcome.diagnostics]
    # The user's own index lacks it; an untrusted build does not go on to its source.
    assert (
        code == "package-not-found" if trusted else code in {"package-not-found", "untrusted-build"}
    )
    assert any("/simple/beta/" in path for path in lab.own.paths)


@pytest.mark.parametrize("line", ["beta==${VERSION}", "beta ; '${VERSION}' == '1.0'"])
def test_variables_decide_nothing(lab: Lab, line: str) -> None:
    """A variable that is set is not filled in; one that is not stays as it is in any case."""
    environ = {**lab.workshop.environ, "VERSION": "1.0"}
    lab.workshop = replace(lab.workshop, environ=environ)
    lab.lay({"src/requirements.txt": f"{line} --hash=sha256:{{digest}}\n"})
    refused = lab.build(trusted=False)
    assert isinstance(refused, Failed)
    assert [item.code for item in refused.diagnostics] == ["untrusted-build"]
    assert "VERSION" in refused.diagnostics[0].message
    del environ["VERSION"]
    wrong = lab.build(trusted=False)
    assert isinstance(wrong, Failed)
    assert "untrusted-build" not in [item.code for item in wrong.diagnostics]


def test_the_users_own_index_serves(lab: Lab, tmp_path: Path) -> None:
    """What the project locks without naming an index comes from the user's, trusted or not; and
    what the project says of its certificate does not count."""
    (tmp_path / "index" / WHEEL).rename(tmp_path / "own" / WHEEL)
    lab.lay({"src/requirements.txt": "--trusted-host 127.0.0.1\n" + LOCKED})
    assert isinstance(lab.build(trusted=False), Built)
    assert lab.stranger.asked == []


def test_the_users_own_index_may_be_named(lab: Lab, tmp_path: Path) -> None:
    """An index that the user has set is no stranger's because the project names it, too."""
    (tmp_path / "index" / WHEEL).rename(tmp_path / "own" / WHEEL)
    own = lab.workshop.environ["PIP_INDEX_URL"]
    lab.lay({"src/requirements.txt": f"--index-url {own}/\n" + LOCKED})
    assert isinstance(lab.build(trusted=False), Built)


def test_a_hosts_certificate_is_not_the_projects_to_waive(lab: Lab, tmp_path: Path) -> None:
    """An untrusted project can't have the user's own index asked without a look at who answers."""
    with faulty_index.served(tmp_path / "index", tls=tmp_path) as (tls, asked):
        environ = {**lab.workshop.environ, "PIP_INDEX_URL": f"{tls}/simple"}
        lab.workshop = replace(lab.workshop, environ=environ)
        lab.lay({"src/requirements.txt": "--trusted-host 127.0.0.1\n" + LOCKED})
        assert isinstance(lab.build(trusted=False), Failed)
        assert asked.asked == []
        assert isinstance(lab.build(trusted=True), Built)


def test_another_projects_build_of_an_sdist(lab: Lab, tmp_path: Path) -> None:
    """What a package was built with comes from the indexes that the project names: another project,
    which does not name them, does not get that wheel."""
    os.remove(tmp_path / "index" / WHEEL)
    for folder in ("index", "own"):
        digest = Index(tmp_path / folder).sdist("beta")
    lab.digest = digest
    lab.lay({"src/requirements.txt": "--index-url {url}/simple\n" + LOCKED})
    assert isinstance(lab.build(trusted=True), Built)
    lab.own.asked.clear()
    lab.lay({"src/requirements.txt": LOCKED})
    assert isinstance(lab.build(trusted=True), Built)
    assert any(path.endswith(".tar.gz") for path in lab.own.paths)
