"""The recorder of what a build looks at, and the one way in which it reads files."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.counted import EVERYTHING
from lambdad.bundler.inputs.reading import read_regular, reason
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import InputSet, ProjectError, Stems, Walk
from lambdad.bundler.workshop import Workshop
from tests.conftest import Tree

Lay = Callable[[Tree], None]

LOOKS: dict[str, Callable[[Seen, str], object]] = {
    "kind": Seen.kind,
    "exists": Seen.exists,
    "is_file": Seen.is_file,
    "is_folder": Seen.is_folder,
    "read": Seen.read,
    "first_file": lambda seen, path: seen.first_file([path]),
}
ABSENT: dict[str, object] = {
    "kind": None, "exists": False, "is_file": False, "is_folder": False, "read": None,
    "first_file": None,
}  # fmt: skip
PRESENT: dict[str, object] = {
    "kind": "file", "exists": True, "is_file": True, "is_folder": False, "read": b"text",
    "first_file": "src/a.txt",
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKS)
def test_what_is_looked_at_is_an_input(name: str, workshop: Workshop, lay: Lay) -> None:
    """Found or not: a file that appears where none was makes the build stale."""
    seen = workshop.seen
    assert LOOKS[name](seen, "src/a.txt") == ABSENT[name]
    assert seen.inputs() == InputSet(files=frozenset({"src/a.txt"}))
    before = snapshot.observe(workshop.root, seen.inputs())
    lay({"src/a.txt": "text"})
    assert list(snapshot.changes(workshop.root, before)) == ["src/a.txt appeared"]
    assert LOOKS[name](seen, "src/a.txt") == PRESENT[name]


def test_paths_come_to_be_relative(workshop: Workshop) -> None:
    """However a path is given, it is recorded once, relative to the project."""
    seen = workshop.seen
    seen.file(f"{workshop.root}/src/a", "src/a", "../b", f"{os.path.dirname(workshop.root)}/b")
    seen.listing(f"{workshop.root}/src", Walk("src"))
    seen.listing("src", Walk("src"))
    seen.names(workshop.root, ["src"])
    inputs = seen.inputs()
    assert inputs.files == {"src/a", "../b"}
    assert inputs.listings == {"src": Walk("src"), ".": Stems.of(["src"])}


def test_a_folder_that_is_listed_twice(workshop: Workshop) -> None:
    """Names add up; where names and a walk meet, every name counts."""
    seen = workshop.seen
    seen.names("a", ["x"])
    seen.names(f"{workshop.root}/a", ["Y"])
    seen.names("b", ["x"])
    seen.listing("b", Walk("b", ("*.md",)))
    seen.add(InputSet(listings={"a": Stems.of(["z"]), "c": Walk("c")}))
    listings = seen.inputs().listings
    assert listings["a"] == Stems.of(["x", "y", "z"])
    assert listings["b"] == Walk("b", EVERYTHING)
    assert listings["c"] == Walk("c")


def test_answers_that_do_not_change(workshop: Workshop, lay: Lay) -> None:
    """A reader that asks twice within one reading gets one answer."""
    once = Seen(workshop.root, workshop.repository, once=True)
    assert once.kind("a") is None
    assert workshop.seen.kind("a") is None
    lay({"a": ""})
    assert once.kind("a") is None
    assert workshop.seen.kind("a") == "file"


def test_a_recorder_apart(workshop: Workshop) -> None:
    """It has its own inputs alone, and the outer one all, also where the step failed."""
    seen = workshop.seen
    seen.file("before")
    with seen.apart() as inner:
        inner.file("within")
    assert inner.inputs().files == {"within"}

    def fail() -> None:
        with seen.apart() as failing:
            failing.file("failed")
            raise ProjectError

    with pytest.raises(ProjectError):
        fail()
    assert seen.inputs().files == {"before", "within", "failed"}


def test_a_workshop_has_the_recorder_of_its_project(workshop: Workshop) -> None:
    """`recording` begins with nothing, and what it records is not in the one that it came from."""
    workshop.seen.file("a")
    other = workshop.recording()
    other.seen.file("b")
    assert workshop.seen.inputs().files == {"a"}
    assert other.seen.inputs().files == {"b"}
    assert (other.seen.root, other.seen.repository) == (workshop.root, workshop.repository)


# --- where paths lead ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose symlinks lead to each other, up, out of it, in circles and nowhere."""
    top = Path(os.path.realpath(tmp_path_factory.mktemp("linked"))) / "top"
    (top / "a/b").mkdir(parents=True)
    (top / "a/b/file").write_text("")
    for name, target in {
        "link": "a/b", "a/b/up": "../..", "far": str(top / "a"), "a/deep": "b/up/link",
        "a/loop": "../back", "back": "a/loop", "none": "not/there", "out": "../..",
    }.items():  # fmt: skip
        (top / name).symlink_to(target)
    return top


PARTS = st.lists(
    st.sampled_from(["a", "b", "link", "up", "far", "loop", "none", "deep", "out", "..", "file"]),
    min_size=1,
    max_size=6,
)


@given(parts=PARTS)
def test_real_is_what_the_system_says(parts: list[str], linked: Path) -> None:
    """Whatever symlinks are on the way, loops and missing folders included."""
    path = "/".join(parts)
    assert Seen(str(linked), str(linked)).real(path) == os.path.realpath(linked / path)


def test_symlinks_on_the_way_are_inputs(linked: Path) -> None:
    """Each that was followed: where it leads decides; and a path at which nothing is."""
    seen = Seen(str(linked), str(linked))
    assert seen.real("a/deep/file") == str(linked / "a/b/file")
    assert seen.inputs() == InputSet(links=frozenset({"a/deep", "a/b/up", "link"}))
    seen.real("a/missing")
    assert seen.inputs().files == {"a/missing"}


def test_inside(linked: Path) -> None:
    """The repository and the folders that are allowed, wherever symlinks lead there."""
    seen = Seen(str(linked), str(linked))
    assert seen.leads_inside("link/file")
    assert not seen.leads_inside("out")
    assert seen.leads_inside("out", ["out"])
    assert "out" in seen.inputs().links


# --- reading -------------------------------------------------------------------------------------


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 30)


SPECIAL: dict[str, tuple[Callable[[Path], None], str]] = {
    "fifo": (_fifo, "it is a FIFO"),
    "socket": (_socket, "it is a socket"),
    "endless": (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    "folder": (lambda path: path.mkdir(), "it is a folder"),
    "huge": (_sparse, "it is larger than 4 MiB"),
    "loop": (lambda path: path.symlink_to(path.name), "too many levels of symbolic links"),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_what_can_not_be_read_is_refused(
    name: str, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, with its path, and no descriptor stays open."""
    monkeypatch.chdir(workshop.root)  # a socket's path must be short
    make, why = SPECIAL[name]
    make(Path("odd"))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(ProjectError) as caught:
        workshop.seen.read("odd")
    (fault,) = caught.value.diagnostics
    assert fault.where is not None
    assert fault.where.file == "odd"
    if name == "huge":
        assert (fault.code, fault.message) == (
            "broken-config",
            "larger than 4 MiB, so not taken for configuration",
        )
    else:
        assert (fault.code, fault.message) == ("unreadable-config", f"can't be read: {why}")
    with pytest.raises(OSError) as refused:
        workshop.seen.content("odd")
    assert reason(refused.value) == why
    assert workshop.seen.inputs().files == {"odd"}
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("path", ["nul\0", "half\ud800", "a/b/c", "a.txt/below"])
def test_a_path_that_nothing_has(path: str, workshop: Workshop, lay: Lay) -> None:
    """It is absent, whatever it is made of."""
    lay({"a.txt": ""})
    assert workshop.seen.read(path) is None
    assert workshop.seen.kind(path) is None


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 200_000])
def test_whole_files(size: int, tmp_path: Path) -> None:
    """All bytes, and not one more than the caller takes."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    assert read_regular(str(path), size) == path.read_bytes()
    if size:
        with pytest.raises(OSError, match="larger than"):
            read_regular(str(path), size - 1)


def test_a_file_without_a_size(workshop: Workshop) -> None:
    """What the kernel makes up as it is read has none; its end is what counts."""
    if not os.path.exists("/proc/self/stat"):
        pytest.skip("there is no /proc here")
    assert read_regular("/proc/self/stat", 4096).startswith(str(os.getpid()).encode())
