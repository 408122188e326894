"""A build that never ends is refused by name; what only lies beside the sources is no fault."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.bundler.esbuild import unreadable
from lambdad.bundler.esbuild.engine import EsbuildJob
from lambdad.bundler.esbuild.service import EsbuildService
from lambdad.bundler.toolchain import ESBUILD
from tests.conftest import write_tree
from tests.support.esbuild_cases import binary_path

FIFOS = {
    "imported": ("app/src/one.ts", False),
    "beside the code folder": ("shared/two.ts", True),
    "settings above": ("package.json", False),
    "settings far above": ("tsconfig.json", False),
    "in a package": ("app/node_modules/dep/index.js", True),
    "in a package's place": ("app/node_modules/dep", True),
    "by a loader that is set": ("app/src/words.txt", False),
}
"""By what it is: the file that a FIFO replaces, and whether only the second look finds it."""


@pytest.fixture(name="job")
def _job(tmp_path: Path) -> EsbuildJob:
    root = os.path.realpath(tmp_path)
    write_tree(
        tmp_path,
        {
            "package.json": "{}",
            "tsconfig.json": "{}",
            "shared/two.ts": "export const two = 2;\n",
            "app/src/one.ts": "export const one = 1;\n",
            "app/src/words.txt": "words\n",
            "app/node_modules/dep/package.json": '{"name": "dep", "main": "index.js"}',
            "app/node_modules/dep/index.js": "exports.dep = 3;\n",
            "app/src/app.ts": (
                'import { one } from "./one";\nimport { two } from "../../shared/two";\n'
                'import { dep } from "dep";\nimport words from "./words.txt";\n'
                "export const handler = async () => [one, two, dep, words];\n"
            ),
        },
    )
    return EsbuildJob(
        entries=(("app", f"{root}/app/src/app.ts"),),
        flags=("--bundle", "--platform=node", "--loader:.txt=text"),
        folder=f"{root}/app",
        out_folder=f"{root}/app",
        repository=root,
    )


@pytest.fixture(name="service")
def _service() -> Iterator[EsbuildService]:
    found = EsbuildService(str(binary_path()), ESBUILD)
    yield found
    found.close()


@pytest.mark.parametrize("name", FIFOS)
def test_a_fifo_is_found(
    name: str, job: EsbuildJob, service: EsbuildService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever esbuild reads it: the build ends, and its one error names the file."""
    monkeypatch.setattr(unreadable, "LOOKS_S", (0.2, 0.2))
    path, later = FIFOS[name]
    place = f"{job.repository}/{path}"
    shutil.rmtree(place) if os.path.isdir(place) else os.unlink(place)
    os.mkfifo(place)
    assert (unreadable.refused(job, everywhere=False) is None) == later
    (error,) = service.build(job).errors
    assert error.place is not None
    assert os.path.normpath(f"{job.folder}/{error.place.file}") == place
    assert error.text.endswith("it is a FIFO")


def test_what_is_beside_the_sources(job: EsbuildJob) -> None:
    """Sockets, pipes, dumps and data of any size are left alone; so is /dev/null."""
    top = Path(job.folder)
    os.mkfifo(top / "pipe")
    os.mkfifo(top / "log.fifo")
    (top / "src/off.js").symlink_to(os.devnull)
    for name in ("dump.sql", "data.json", "film.mp4"):
        with (top / name).open("wb") as file:
            file.truncate(1 << 30)
    here = os.open(top, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/app.js")
    os.close(here)
    assert unreadable.refused(job, everywhere=True) is None


def test_endless_and_huge_sources(job: EsbuildJob) -> None:
    """A device and a script that no Lambda function can hold are refused at the first look."""
    top = Path(job.folder)
    (top / "src/zero.ts").symlink_to("/dev/zero")
    for name in ("src/huge.js", "tsconfig.base.json"):
        with (top / name).open("wb") as file:
            file.truncate(1 << 30)
    found = unreadable.refused(job, everywhere=False)
    assert found is not None
    assert sorted(error.text for error in found.errors) == [
        "can't read src/huge.js: it is larger than 250 MiB",
        "can't read src/zero.ts: it is a device",
        "can't read tsconfig.base.json: it is larger than 250 MiB",
    ]


def test_a_job_without_a_repository(job: EsbuildJob) -> None:
    """Its own folders are looked into."""
    os.mkfifo(f"{job.folder}/src/pipe.ts")
    assert unreadable.refused(replace(job, repository=""), everywhere=True) is not None
