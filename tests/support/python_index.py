"""A package index of small wheels and sdists, in a folder: pip and uv need no network for it."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import BuildRequest, InputSet, ProjectError
from lambdad.bundler.python import package
from lambdad.bundler.store.store import Store
from lambdad.bundler.toolchain import current_toolchain
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips.member import Contents
from tests.conftest import write_tree
from tests.support.rawzip import build, distribution
from tests.support.samples import function

BACKEND = """
import base64, glob, hashlib, os, zipfile

NAME, VERSION, REQUIRES, NATIVE = {name!r}, {version!r}, {requires!r}, {native!r}


def get_requires_for_build_wheel(config_settings=None):
    return []


def build_wheel(folder, config_settings=None, metadata_directory=None):
    if os.environ.get("SOURCE_DATE_EPOCH") != "315532800":
        raise SystemExit("no SOURCE_DATE_EPOCH")
    os.makedirs("build", exist_ok=True)  # what setuptools leaves behind
    tag = NATIVE or "py3-none-any"
    info = NAME + "-" + VERSION + ".dist-info/"
    metadata = "Metadata-Version: 2.1\\nName: " + NAME + "\\nVersion: " + VERSION + "\\n"
    metadata += "".join("Requires-Dist: " + one + "\\n" for one in REQUIRES)
    files = {{path: open(path, "rb").read() for path in glob.glob(NAME + "/**", recursive=True)
             if os.path.isfile(path)}}
    files[info + "METADATA"] = metadata.encode()
    files[info + "WHEEL"] = ("Wheel-Version: 1.0\\nTag: " + tag + "\\n").encode()
    record = ""
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        record += path + ",sha256=" + digest + "," + str(len(content)) + "\\n"
    files[info + "RECORD"] = (record + info + "RECORD,,\\n").encode()
    wheel = NAME + "-" + VERSION + "-" + tag + ".whl"
    with zipfile.ZipFile(os.path.join(folder, wheel), "w") as out:
        for path, content in files.items():
            out.writestr(path, content)
    return wheel
"""
"""A build backend of its own package, so that building needs nothing from any index."""


def source_tree(
    name: str,
    version: str = "1.0",
    *,
    requires: Sequence[str] = (),
    native: str = "",
    code: str = "value = 1\n",
) -> dict[str, str]:
    """The files of a package that builds itself; `native` is the tag its wheel claims."""
    return {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\n'
        f'backend-path = ["."]\n[project]\nname = "{name}"\nversion = "{version}"\n'
        f"dependencies = {list(requires)!r}\n",
        "backend.py": BACKEND.format(
            name=name, version=version, requires=list(requires), native=native
        ),
        f"{name}/__init__.py": code,
    }


@dataclass(frozen=True, slots=True)
class Index:
    folder: Path

    def wheel(
        self,
        name: str,
        version: str = "1.0",
        *,
        requires: Sequence[str] = (),
        tag: str = "py3-none-any",
        requires_python: str = "",
        files: Mapping[str, bytes] | None = None,
    ) -> str:
        """Adds a wheel; its SHA-256."""
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
        extras = sorted({one for text in requires for one in re.findall(r"extra == '(.*?)'", text)})
        metadata += "".join(f"Provides-Extra: {one}\n" for one in extras)
        metadata += f"Requires-Python: {requires_python}\n" if requires_python else ""
        content = files or {f"{name}/__init__.py": f"version = {version!r}\n".encode()}
        data = build(
            distribution(
                content,
                name=name,
                version=version,
                metadata=metadata,
                wheel=f"Wheel-Version: 1.0\nGenerator: test\nTag: {tag}\n",
            )
        )
        (self.folder / f"{name}-{version}-{tag}.whl").write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    def sdist(
        self, name: str, version: str = "1.0", *, requires: Sequence[str] = (), native: str = ""
    ) -> str:
        """Adds an sdist that builds itself; its SHA-256."""
        files = source_tree(name, version, requires=requires, native=native)
        files["PKG-INFO"] = f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n" + "".join(
            f"Requires-Dist: {one}\n" for one in requires
        )
        path = self.folder / f"{name}-{version}.tar.gz"
        with tarfile.open(path, "w:gz") as out:
            for file, text in files.items():
                info = tarfile.TarInfo(f"{name}-{version}/{file}")
                info.size = len(text)
                out.addfile(info, io.BytesIO(text.encode()))
        return hashlib.sha256(path.read_bytes()).hexdigest()


def offline_environ(folder: Path) -> dict[str, str]:
    """Nothing of this machine's pip configuration, and no index but the folder."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PIP_", "UV_")) and "proxy" not in name.lower()
    }
    return {
        **kept,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
    }


def workshop_of(tmp_path: Path, index: Index, said: list[str] | None = None) -> Workshop:
    """A project at tmp_path/project with a store of its own that sees only this index."""
    root = tmp_path / "project"
    root.mkdir(exist_ok=True)
    real = os.path.realpath(root)
    return Workshop(
        root=real,
        repository=real,
        store=Store(tmp_path / "store"),
        environ=offline_environ(index.folder),
        say=(said if said is not None else []).append,
    )


APP = "def handler(event, context):\n    return 1\n"


class Project:
    """An app on the index; `said` is the progress it showed."""

    def __init__(self, tmp_path: Path) -> None:
        (tmp_path / "index").mkdir()
        self.index = Index(tmp_path / "index")
        self.said: list[str] = []
        self.seen: Seen
        self.workshop = workshop_of(tmp_path, self.index, self.said)
        self.root = Path(self.workshop.root)
        self.lay({"src/app.py": APP})

    def lay(self, files: dict[str, str]) -> None:
        write_tree(self.root, files)

    def pack(
        self, workshop: Workshop | None = None, *, locked: bool = False, **changes: Any
    ) -> Contents:
        request = BuildRequest(
            function=function(**changes), toolchain=current_toolchain(), locked=locked
        )
        self.said.clear()
        recording = (workshop or self.workshop).recording()
        self.seen = recording.seen
        return package.pack(request, recording)

    @property
    def inputs(self) -> InputSet:
        """What the last `pack` depends on, whether it went well or not."""
        return self.seen.inputs()

    def faults(self, **changes: Any) -> list[str]:
        with pytest.raises(ProjectError) as caught:
            self.pack(**changes)
        self.last = caught.value
        return [found.code for found in caught.value.diagnostics if found.code != "unlocked"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def installed(contents: Contents) -> list[str]:
    """The distributions in the segment, as "name-version"."""
    if contents.dependencies is None:
        return []
    return sorted(
        member.name.removesuffix(".dist-info/METADATA")
        for member in contents.dependencies.members
        if member.name.endswith(".dist-info/METADATA")
    )


def warnings_of(contents: Contents) -> list[str]:
    return [found.code for found in contents.diagnostics]
