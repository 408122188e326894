"""Which file decides where several lie, projects that nothing locks, and private indexes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.bundler import build
from lambdad.bundler.model import BundlerError, ProjectError, Want
from lambdad.bundler.python import credentials
from lambdad.bundler.python.indexes import Indexes
from lambdad.bundler.report.render import status
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.bundler.tool_faults import scrubbed
from lambdad.bundler.workshop import Workshop
from tests.bundler.inputs.test_snapshot import wait_for_tick
from tests.bundler.test_build import project as project_of
from tests.support import python_served
from tests.support.python_index import Project, installed, project, source_tree, warnings_of
from tests.support.samples import function

__all__ = ["project"]

PROJECT = '[project]\nname = "app"\nversion = "0.1"\nrequires-python = ">=3.8"\n'


def asks(*dependencies: str, more: str = "") -> str:
    return f"{PROJECT}dependencies = {list(dependencies)!r}\n{more}\n"


def pinned(digest: str) -> dict[str, str]:
    """Each kind of file, pinning or asking for a package that tells it apart."""
    wheel = "-1.0-py3-none-any.whl"
    return {
        "pylock.toml": 'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\n'
        f'name = "from-pylock"\nversion = "1.0"\nwheels = [{{ url = "https://index.example/'
        f'from_pylock{wheel}", hashes = {{ sha256 = "{digest}" }} }}]\n',
        "requirements.txt": f"from-hashed==1.0 --hash=sha256:{digest}\n",
        "uv.lock": 'version = 1\nrequires-python = ">=3.8"\n[[package]]\nname = "app"\n'
        'version = "0.1"\nsource = { virtual = "." }\ndependencies = [{ name = "asked" }]\n'
        '[package.metadata]\nrequires-dist = [{ name = "asked" }]\n[[package]]\nname = "asked"\n'
        'version = "1.0"\nsource = { registry = "https://index.example/simple" }\nwheels = [{ '
        f'url = "https://index.example/asked{wheel}", hash = "sha256:{digest}" }}]\n',
        "poetry.lock": '[[package]]\nname = "asked"\nversion = "2.0"\npython-versions = "*"\n'
        f'files = [{{file = "asked-2.0-py3-none-any.whl", hash = "sha256:{digest}"}}]\n'
        '[metadata]\nlock-version = "2.1"\npython-versions = "*"\ncontent-hash = ""\n',
        "Pipfile.lock": json.dumps(
            {
                "_meta": {"pipfile-spec": 6, "sources": []},
                "default": {"piped": {"version": "==1.0", "hashes": [f"sha256:{digest}"]}},
            }
        ),
    }


ORDER = (
    ("pylock.toml", "from-pylock", "1.0"),
    ("requirements.txt", "from-hashed", "1.0"),
    ("uv.lock", "asked", "1.0"),
    ("poetry.lock", "asked", "2.0"),
    ("Pipfile.lock", "piped", "1.0"),
)


def locked_by(project: Project, **changes: Any) -> list[tuple[str, str | None]]:
    from lambdad.bundler.python import target as targets
    from lambdad.bundler.python.locks import declared

    one = function(**changes)
    what = declared.read(one, targets.of(one), project.workshop)
    assert what is not None
    return [(pin.name, pin.version) for pin in what.lock.pins] if what.lock else []


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_precedence(project: Project, first: int) -> None:
    """Of several locks the first in the documented order decides, whatever else lies there."""
    files = pinned("0" * 64)
    project.lay({"src/pyproject.toml": asks("asked"), "src/Pipfile": "[packages]\npiped = '*'\n"})
    for name, _, _ in ORDER[first:]:
        project.lay({f"src/{name}": files[name]})
    if first != 1:
        project.lay({"src/requirements.txt": "from-pylock\n"})
    assert locked_by(project) == [ORDER[first][1:]]


def test_named_in_the_configuration(project: Project) -> None:
    """`requirements` decides before all; it may name a project, its lock, or any other file."""
    files = pinned("0" * 64)
    project.lay({"src/pyproject.toml": asks("asked"), "src/Pipfile": "[packages]\npiped = '*'\n"})
    project.lay({f"src/{name}": text for name, text in files.items()})
    project.lay({"other/pyproject.toml": asks("asked"), "other/uv.lock": files["uv.lock"]})
    for named, expected in [
        ("src/pyproject.toml", ("asked", "1.0")),
        ("src/poetry.lock", ("asked", "2.0")),
        ("src/Pipfile", ("piped", "1.0")),
        ("src/Pipfile.lock", ("piped", "1.0")),
        ("src/requirements.txt", ("from-hashed", "1.0")),
        ("other/pyproject.toml", ("asked", "1.0")),
        ("other/uv.lock", ("asked", "1.0")),
    ]:
        assert locked_by(project, requirements=named) == [expected]
        assert locked_by(project, requirements=named, code="src/app.py") == [expected]


def test_a_lock_without_its_project(project: Project) -> None:
    """uv.lock and poetry.lock tell nothing alone, and say so where they are named."""
    files = pinned("0" * 64)
    project.lay({"src/uv.lock": files["uv.lock"], "src/poetry.lock": files["poetry.lock"]})
    assert installed(project.pack()) == []
    assert project.faults(requirements="src/uv.lock") == ["missing-requirements"]


def test_a_project_that_asks_for_nothing(project: Project) -> None:
    """It declares nothing, though its tools are locked: the requirements beside it count."""
    project.index.wheel("beta")
    files = pinned("0" * 64)
    for text in ("[tool.ruff]\n", PROJECT, "[tool.poetry.dependencies]\npython = '^3.12'\n"):
        project.lay({"src/pyproject.toml": text, "src/poetry.lock": files["poetry.lock"]})
        contents = project.pack()
        assert installed(contents) == []
        assert warnings_of(contents) == []
        assert {"src/pyproject.toml", "src/uv.lock", "src/Pipfile"} <= set(project.inputs.files)
    project.lay({"src/requirements.txt": "beta\n"})
    assert installed(project.pack()) == ["beta-1.0"]


# --- unlocked --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "text", "mend"),
    [
        ("pyproject.toml", asks("alpha>=1", "win ; sys_platform == 'win32'"), "uv lock"),
        (
            "pyproject.toml",
            '[tool.poetry.dependencies]\npython = "^3.8"\nalpha = "^1.0"\n'
            'win = { version = "*", platform = "win32" }\n'
            '[tool.poetry.group.dev.dependencies]\ntests-only = "*"\n',
            "poetry lock",
        ),
        ("Pipfile", "[packages]\nalpha = '1.0'\n", "pipenv lock"),
        ("Pipfile", "[packages]\nalpha = '>=1'\nwin = {os_name = \"== 'nt'\"}\n", "pipenv lock"),
    ],
)
def test_unlocked(project: Project, file: str, text: str, mend: str) -> None:
    """Without a lock the dependencies are resolved for the target, with a warning that names the
    project's own tool; --locked refuses."""
    project.index.wheel("alpha", "1.0", requires=["beta"])
    project.index.wheel("alpha", "1.5", requires=["beta"], requires_python=">=3.13")
    project.index.wheel("beta")
    project.lay({f"src/{file}": text})
    contents = project.pack()
    assert installed(contents) == ["alpha-1.0", "beta-1.0"]
    assert warnings_of(contents) == ["unlocked"]
    assert f"`{mend}`" in (contents.diagnostics[0].hint or "")
    assert f"src/{file}" in project.inputs.files
    with pytest.raises(ProjectError) as caught:
        project.pack(locked=True)
    assert [found.code for found in caught.value.diagnostics] == ["unlocked"]
    project.lay({"src/requirements.txt": "beta\n"})
    assert installed(project.pack()) == ["beta-1.0"]


def test_unlocked_extras_and_groups(project: Project) -> None:
    """Chosen extras and groups count without a lock, too; unknown ones are told with those there
    are."""
    for name in ("one", "two", "three"):
        project.index.wheel(name)
    more = (
        '[project.optional-dependencies]\nx = ["two"]\nall = ["app[x]"]\n'
        '[dependency-groups]\ny = ["three"]\n'
    )
    project.lay({"src/pyproject.toml": asks("one", more=more)})
    found = project.pack(extras=("all",), groups=("y",))
    assert installed(found) == ["one-1.0", "three-1.0", "two-1.0"]
    assert project.faults(extras=("z",)) == ["unknown-extra"]
    project.lay({"src/requirements.txt": "one\n"})
    (project.root / "src/pyproject.toml").unlink()
    assert project.faults(extras=("x",)) == ["unknown-extra"]


def test_unlocked_path(project: Project) -> None:
    """Local packages of an unlocked project are built, and their files are inputs; one that is
    not there is told, and noticed once it is."""
    for file, text in source_tree("shared").items():
        project.lay({f"libs/shared/{file}": text})
    uv = "[tool.uv.sources]\nshared = { path = '../libs/shared' }\n"
    project.lay({"src/pyproject.toml": asks("shared", more=uv)})
    contents = project.pack(locked=True)
    assert installed(contents) == ["shared-1.0"]
    assert warnings_of(contents) == []
    assert "libs/shared/shared/__init__.py" in project.inputs.files
    project.lay({"src/pyproject.toml": asks("shared", more=uv.replace("libs", "gone"))})
    assert project.faults() == ["missing-requirements"]
    assert "gone/shared" in project.inputs.files
    uv = "[tool.uv.sources]\nshared = { path = '../shared-1.0-py3-none-any.whl' }\n"
    project.lay({"src/pyproject.toml": asks("shared", more=uv)})
    assert project.faults() == ["missing-requirements"]
    assert "shared-1.0-py3-none-any.whl" in project.inputs.files


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (asks("a @ git+https://git.example/a"), "unsupported-requirement"),
        (asks("a", more="[tool.uv.sources]\na = { workspace = true }\n"), "needs-lock"),
        (asks("a", more="[tool.uv]\noverride-dependencies = ['b<2']\n"), "needs-lock"),
        (
            asks("a", more="[[tool.uv.index]]\nname = 'x'\nurl = 'https://index.example'\n"),
            "needs-lock",
        ),
        ('[tool.poetry.dependencies]\na = "^1 || ^3"\n', "needs-lock"),
        ('[tool.poetry.dependencies]\na = { git = "https://git.example/a" }\n',
         "unsupported-requirement"),
        (asks("a b"), "bad-requirement"),
        (PROJECT + "dependencies = 'a'\n", "bad-requirement"),
        ('[tool.poetry.dependencies]\na = "^^1"\n', "bad-requirement"),
        ("[tool.poetry.dependencies]\na = { python = 'y z' }\n", "bad-requirement"),
        ("project = [", "broken-config"),
    ],
)  # fmt: skip
def test_faults_are_placed(project: Project, text: str, code: str) -> None:
    """What only the project's own tool can resolve, or nobody can read, is told where it is."""
    project.lay({"src/pyproject.toml": text})
    assert project.faults() == [code]
    fault = project.last.diagnostics[0]
    assert fault.where is not None
    assert fault.where.file == "src/pyproject.toml"
    assert fault.where.line is not None
    assert "src/pyproject.toml" in project.inputs.files


def test_dependencies_that_nobody_installs(project: Project) -> None:
    """Those above the code, and those that only a build backend knows, are told with the line
    that takes them; requirements, or layers, are another answer."""
    project.index.wheel("alpha")
    project.lay({"pyproject.toml": asks("alpha")})
    contents = project.pack()
    assert warnings_of(contents) == ["unread-dependencies"]
    assert 'requirements = "pyproject.toml"' in (contents.diagnostics[0].hint or "")
    assert {"pyproject.toml", "uv.lock"} <= set(project.inputs.files)
    assert warnings_of(project.pack(layers=True)) == []
    assert installed(project.pack(requirements="pyproject.toml")) == ["alpha-1.0"]
    for file, text in (("Pipfile", "[packages]\n"), ("pyproject.toml", PROJECT)):
        project.lay({f"src/{file}": text})
        assert warnings_of(project.pack()) == [], "its own project says that it needs none"
        (project.root / f"src/{file}").unlink()
    project.lay({"src/pyproject.toml": "[tool.ruff]\n"})
    assert warnings_of(project.pack()) == ["unread-dependencies"]
    project.lay({"src/pyproject.toml": PROJECT + 'dynamic = ["dependencies"]\n'})
    contents = project.pack()
    assert warnings_of(contents) == ["unread-dependencies"]
    assert "build backend" in contents.diagnostics[0].message
    project.lay({"src/requirements.txt": "# what is needed is in the runtime\n"})
    assert warnings_of(project.pack()) == []


# --- a live tree -----------------------------------------------------------------------------


def test_live_tree_has_the_locked_versions(project: Project) -> None:
    """On this machine a function gets the versions that the lock has for it."""
    ours = RUNTIMES.get(f"python3.{sys.version_info[1]}", RUNTIMES["python3.12"])
    project.index.wheel("beta", "1.0")
    with python_served.served(project.index.folder) as url:
        index = f'[[tool.uv.index]]\nname = "ours"\nurl = "{url}"\ndefault = true\n'
        project.lay({"src/pyproject.toml": asks("beta", more=index).replace("3.8", "3.11")})
        python_served.uv_lock(project, "src")
        project.index.wheel("beta", "2.0")
        workshop = python_served.networked(project)
        wait_for_tick(workshop.root)
        one = function(runtime=ours)
        outcome = build.build([one], workshop, Upkeep(project_of(workshop, one)), want=Want.LIVE)[0]
    assert outcome.live is not None, outcome.diagnostics
    names = {path.name for path in Path(outcome.live.path[1]).iterdir()}
    assert "beta-1.0.dist-info" in names


# --- private indexes -------------------------------------------------------------------------


def holding(folder: Path, secret: str) -> list[str]:
    """The files below the folder that hold the text, and names that do."""
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and (secret.encode() in path.read_bytes() or secret in path.name)
    ]


def lay_private(project: Project, url: str) -> None:
    index = f'[[tool.uv.index]]\nname = "our-index"\nurl = "{url}"\ndefault = true\n'
    project.lay({"src/pyproject.toml": asks("beta", more=index).replace("3.8", "3.11")})


def with_login(kind: str, project: Project, url: str) -> Workshop:
    user, password = python_served.LOGIN
    host = url.removeprefix("http://").partition("/")[0]
    home = Path(python_served.networked(project).environ["HOME"])
    if kind == "name":
        return python_served.networked(
            project, UV_INDEX_OUR_INDEX_USERNAME=user, UV_INDEX_OUR_INDEX_PASSWORD=password
        )
    if kind == "url":
        return python_served.networked(
            project, UV_INDEX=f"x=http://{user}:{password}@{host}/simple"
        )
    if kind == "netrc":
        (home / ".netrc").write_text(
            f"machine {host.partition(':')[0]} login {user} password {password}\n"
        )
        (home / ".netrc").chmod(0o600)
        return python_served.networked(project)
    if kind == "uv.toml":
        (home / ".config/uv").mkdir(parents=True)
        (home / ".config/uv/uv.toml").write_text(
            f'[[index]]\nurl = "http://{user}:{password}@{host}/simple"\n'
        )
        return python_served.networked(project, XDG_CONFIG_HOME=str(home / ".config"))
    assert kind == "pip"
    config = home / "pip.conf"
    config.write_text(f"[global]\nindex-url = http://{user}:{password}@{host}/simple\n")
    return python_served.networked(project, PIP_CONFIG_FILE=str(config))


@pytest.mark.parametrize("kind", ["name", "url", "netrc", "uv.toml", "pip"])
@pytest.mark.parametrize("locked", [True, False])
def test_private_index(project: Project, kind: str, locked: bool) -> None:
    """Credentials are found where pip or uv keep them, and get into no file, record or message."""
    user, password = python_served.LOGIN
    project.index.wheel("beta")
    with python_served.served(project.index.folder, login=True) as url:
        lay_private(project, url)
        if locked:
            python_served.uv_lock(
                project,
                "src",
                UV_INDEX_OUR_INDEX_USERNAME=user,
                UV_INDEX_OUR_INDEX_PASSWORD=password,
            )
        workshop = with_login(kind, project, url)
        one = function()
        outcome = build.build([one], workshop, Upkeep(project_of(workshop, one)))[0]
        assert status(outcome) == "built", outcome.diagnostics
    assert holding(project.root, password) == []
    assert holding(project.workshop.store.root, password) == []
    assert password not in repr(outcome)


@pytest.mark.parametrize("locked", [True, False])
def test_wrong_password(project: Project, locked: bool) -> None:
    """A refused login is told without it."""
    user, password = python_served.LOGIN
    project.index.wheel("beta")
    with python_served.served(project.index.folder, login=True) as url:
        lay_private(project, url)
        right = {"UV_INDEX_OUR_INDEX_USERNAME": user, "UV_INDEX_OUR_INDEX_PASSWORD": password}
        if locked:
            python_served.uv_lock(project, "src", **right)
        wrong = python_served.networked(
            project, **{**right, "UV_INDEX_OUR_INDEX_PASSWORD": "hunter2"}
        )
        with pytest.raises((BundlerError, ProjectError)) as caught:
            project.pack(wrong)
    assert "hunter2" not in f"{caught.value}{caught.value.args}{getattr(caught.value, 'hint', '')}"
    assert holding(project.workshop.store.root, "hunter2") == []


def test_where_credentials_are_looked_for(tmp_path: Path) -> None:
    """By the index's name for uv and Poetry, then by its place; never for another host."""
    place = "https://index.example/simple"
    (tmp_path / "auth.toml").write_text('[http-basic.own]\nusername = "p"\npassword = "q"\n')
    (tmp_path / "credentials.toml").write_text(
        '[[credential]]\nservice = "https://kept.example/"\nusername = "k"\nscheme = "basic"\n'
        'password = "l"\n[[credential]]\nservice = 5\n'
    )
    environ = {
        "HOME": str(tmp_path),
        "POETRY_CONFIG_DIR": str(tmp_path),
        "UV_CREDENTIALS_DIR": str(tmp_path),
        "UV_INDEX_MY_INDEX_PASSWORD": "a/b",
        "POETRY_HTTP_BASIC_OTHER_USERNAME": "o",
        "UV_EXTRA_INDEX_URL": "https://u:v@third.example/x https://plain.example",
    }

    def filled(url: str, *names: str) -> str | None:
        named = [(name, url) for name in names]
        return credentials.filled(Indexes(index_url=url), named, environ).index_url

    assert filled(place) == place
    assert filled(place, "my-index") == "https://:a%2Fb@index.example/simple"
    assert filled(place, "other") == "https://o:@index.example/simple"
    assert filled(place, "own") == "https://p:q@index.example/simple"
    assert filled("https://third.example/y") == "https://u:v@third.example/y"
    assert filled("https://third.example:8443/y") == "https://third.example:8443/y"
    assert filled("https://kept.example/simple") == "https://k:l@kept.example/simple"
    assert filled("https://e:f@third.example/y") == "https://e:f@third.example/y"
    assert credentials.expanded("https://${A}:$B@x.example", {"A": "1"}) == "https://1:$B@x.example"


@given(user=st.text(min_size=1, max_size=8), host=st.sampled_from(["x.example", "x.example:81"]))
def test_scrubbed(user: str, host: str) -> None:
    """No text of a tool shows what stands before the @ of a URL."""
    from urllib.parse import quote

    secret = quote(user, safe="")
    text = f"error: https://{secret}:{secret}pw@{host}/simple is gone"
    assert scrubbed(text) == f"error: https://****@{host}/simple is gone"


# --- any pyproject.toml at all ---------------------------------------------------------------

SAMPLE = asks(
    "alpha[x]>=1,<2 ; python_version > '3.8'",
    "shared",
    more="""
[project.optional-dependencies]
x = ["two", "app[y]"]
y = ["three"]
[dependency-groups]
one = ["four", { include-group = "two" }]
two = ["five"]
[[tool.uv.index]]
name = "ours"
url = "https://index.example/simple"
default = true
[tool.uv]
constraint-dependencies = ["six<2"]
[tool.uv.sources]
shared = [{ path = "../shared", marker = "sys_platform == 'linux'" }]
""",
)
EXPECTED = {
    "broken-config", "bad-requirement", "unknown-extra", "needs-lock", "unsupported-requirement",
    "missing-requirements",
}  # fmt: skip


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, len(SAMPLE)), gone=st.integers(0, 30), instead=st.text(max_size=8))
def test_any_pyproject(project: Project, at: int, gone: int, instead: str) -> None:
    """Whatever stands in pyproject.toml, it asks for something or has faults."""
    text = SAMPLE[:at] + instead + SAMPLE[at + gone :]
    (project.root / "src/pyproject.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    one = function(extras=("x",), groups=("one",))
    assert python_served.outcome("src", one, project.workshop) <= EXPECTED


def test_the_sample_is_read(project: Project) -> None:
    """What the fuzzing starts from is sound."""
    project.lay({"src/pyproject.toml": SAMPLE, "shared/setup.py": ""})
    one = function(extras=("x",), groups=("one",))
    assert python_served.outcome("src", one, project.workshop) == set()


def test_groups_that_include_each_other(project: Project) -> None:
    """A circle of groups is told."""
    more = '[dependency-groups]\na = [{ include-group = "b" }]\nb = [{ include-group = "a" }]\n'
    project.lay({"src/pyproject.toml": asks("x", more=more)})
    assert project.faults(groups=("a",)) == ["bad-requirement"]


def test_nothing_runs_to_read_a_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workspace above is found, and poetry's and pipenv's locks are read, without any tool."""

    def refuse(*arguments: object, **_: object) -> None:
        raise AssertionError(f"{arguments} was run")

    files = pinned("0" * 64)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    project.lay({"pyproject.toml": "[tool.uv.workspace]\nmembers = ['*']\n"})
    project.lay({"src/pyproject.toml": asks("asked"), "src/poetry.lock": files["poetry.lock"]})
    assert locked_by(project) == [("asked", "2.0")]
    inner = replace(project.workshop, root=f"{project.root}/src", repository=str(project.root))
    assert python_served.outcome(".", function(), inner) == set()
