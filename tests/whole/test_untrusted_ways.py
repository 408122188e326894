"""What an untrusted project sends, whichever way a save reaches lambdad: nothing.

The project names a registry and an index in every file that a tool could read. Once a person asks
for a build, the index is asked, and what the save came to does not answer instead.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import write_tree
from tests.support import daemons, faulty_index
from tests.support.daemons import Site
from tests.support.faulty_index import IMPATIENT, Behaviour
from tests.support.plain_editor import plain_editor
from tests.support.python_index import Index, offline_environ

SECRET = "s3cret-of-the-user"
WHEEL = "beta-1.0-py3-none-any.whl"
HASH = "--hash=sha256:{digest}"
REQUIREMENTS: Mapping[str, str] = {
    "index": f"--index-url {{url}}/${{MY_SECRET}}/simple\nbeta==1.0 {HASH}\n",
    "links": f"--no-index\n--find-links {{url}}/simple/beta/\nbeta==1.0 {HASH}\n",
    "url": f"beta @ {{url}}/{WHEEL} {HASH}\n",
    "unlocked": "--extra-index-url {url}/simple\nbeta\n",
}
"""By function, the ways in which it names the stranger."""
EDITED = ["web/web.ts", *(f"{name}/app.py" for name in REQUIREMENTS)]


@dataclass
class Lab:
    """A project that is not trusted, and two servers that write down what they are asked."""

    site: Site
    stranger: Behaviour
    own: Behaviour

    @property
    def root(self) -> Path:
        return Path(self.site.root)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    for name in ("strange", "own", "home"):
        (tmp_path / name).mkdir()
    digest = Index(tmp_path / "strange").wheel("beta")
    with ExitStack() as stack:
        url, stranger = stack.enter_context(faulty_index.served(tmp_path / "strange"))
        own_url, own = stack.enter_context(faulty_index.served(tmp_path / "own"))
        site = stack.enter_context(daemons.site(tmp_path / "app"))
        kept = offline_environ(tmp_path)
        for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_CONFIG_FILE"):
            del kept[name]
        ours = ("XDG_RUNTIME_DIR", "LAMBDAD_CACHE_DIR", "PYTHONPATH")
        environ = {
            **{name: text for name, text in kept.items() if not name.lower().startswith("npm_")},
            **{name: site.environ[name] for name in ours},
            **IMPATIENT,
            "HOME": f"{tmp_path}/home",
            "XDG_STATE_HOME": f"{tmp_path}/state",
            "XDG_CONFIG_DIRS": f"{tmp_path}/home",
            "PIP_INDEX_URL": f"{own_url}/simple",
            "MY_SECRET": SECRET,
        }
        Path(environ["HOME"], ".npmrc").write_text(f"registry={own_url}\n")
        runtime = f"python3.{sys.version_info[1]}"
        table = '[functions.{}]\nhandler = "{}"\nruntime = "{}"\ncode = "{}"\n'
        web = table.format("web", "web.handler", "nodejs22.x", "web")
        tables = [web] + [table.format(name, "app.handler", runtime, name) for name in REQUIREMENTS]
        npmrc = f"registry={url}\n//{url.partition('//')[2]}/:_authToken=${{MY_SECRET}}\n"
        write_tree(Path(site.root), {
            "lambdad.toml": "".join(tables),
            **{f"{name}/app.py": "def handler(event, context):\n    return 1\n"
               for name in REQUIREMENTS},
            **{f"{name}/requirements.txt": text.replace("{url}", url).replace("{digest}", digest)
               for name, text in REQUIREMENTS.items()},
            "web/web.ts": "export const handler = async () => 1;\n",
            "web/package.json": "{}",
            "package.json": "{}",
            **dict.fromkeys((".npmrc", "web/.npmrc"), npmrc),
            **dict.fromkeys(("pip.conf", "index/pip.conf"), f"[global]\nindex-url={url}/simple\n"),
        })  # fmt: skip
        yield Lab(replace(site, environ=environ), stranger, own)


def _by_daemon(lab: Lab) -> str:
    lab.site.started()
    done = lab.site.run("save", *EDITED)
    return done.stdout + done.stderr


def _by_itself(lab: Lab) -> str:
    done = lab.site.run("save", "--no-daemon", *EDITED)
    return done.stdout + done.stderr


def _by_editor(lab: Lab) -> str:
    command = [sys.executable, "-c", "from lambdad.daemon.entry import main; main()", "lsp"]
    with plain_editor(command, lab.site.root, lab.site.environ) as editor:
        for name in EDITED:
            editor.open(name)
            editor.save(name)
            editor.until(lambda one: one.get("method") == "textDocument/publishDiagnostics")
        return json.dumps(editor.heard)


WAYS: Mapping[str, Callable[[Lab], str]] = {
    "daemon": _by_daemon,
    "alone": _by_itself,
    "editor": _by_editor,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_save_sends_nothing(lab: Lab, way: str) -> None:
    """The stranger is not asked, nobody else is asked for its package, and the user's registry, of
    which esbuild is wanted, hears no secret."""
    Path(lab.root, ".lambdad").mkdir()  # what a save never makes
    said = WAYS[way](lab)
    assert lab.stranger.asked == []
    assert SECRET not in lab.own.text
    assert [path for path in lab.own.paths if "esbuild" in path], "npm did not ask"
    assert not [path for path in lab.own.paths if "beta" in path]
    assert said.count("untrusted-build") >= len(REQUIREMENTS), said
    # A person's build asks, and is not answered by what the save came to.
    lab.site.run("build", "index")
    assert SECRET in lab.stranger.text
    others = [name for name in REQUIREMENTS if name != "index"]  # which the stranger does not have
    done = lab.site.run("build", *others)
    assert done.returncode == 0, done.stderr
    for name in others:
        with zipfile.ZipFile(lab.root / f".lambdad/build/{name}.zip") as archive:
            assert "beta/__init__.py" in archive.namelist()
