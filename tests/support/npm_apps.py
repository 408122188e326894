"""A registry of small npm packages on this machine, and ways to install, pack and run them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import struct
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lambdad.bundler.javascript import packaged
from lambdad.bundler.model import BuildRequest, Function, Handler, Method
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.output import Output
from lambdad.bundler.toolchain import current_toolchain
from lambdad.bundler.workshop import Workshop
from lambdad.bundler.zips import archive
from lambdad.bundler.zips.member import Contents
from tests.support import samples

TREE_JS = """
const { name, version, dependencies = {}, optionalDependencies = {}, peerDependencies = {} } =
  require("./package.json");
exports.tree = (above = []) => {
  const id = `${name}@${version}`;
  if (above.includes(id)) return id;
  const below = {};
  const wanted = { ...dependencies, ...optionalDependencies, ...peerDependencies };
  for (const other of Object.keys(wanted).sort()) {
    try {
      below[other] = require(other).tree([...above, id]);
    } catch (fault) {
      if (fault.code !== "MODULE_NOT_FOUND") throw fault;
      below[other] = null;
    }
  }
  return { [id]: below };
};
"""
"""Tells which versions a package gets, all the way down."""

HANDLER_JS = TREE_JS + "\nexports.handler = async () => exports.tree();\n"

Spec = Mapping[str, Any]


def spec(name: str, version: str = "1.0.0", /, **fields: Any) -> Spec:
    return {"name": name, "version": version, **fields}


class Registry:
    """Packages by name and version, served as the npm registry does."""

    def __init__(self) -> None:
        self.packages: dict[str, dict[str, tuple[Spec, bytes]]] = {}
        self.url = ""

    def publish(self, declared: Spec, files: Mapping[str, str | bytes] | None = None) -> None:
        content = {
            "package.json": json.dumps(declared),
            "index.js": TREE_JS,
            "README.md": "about",
            **(files or {}),
        }
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for name, text in content.items():
                data = text if isinstance(text, bytes) else text.encode()
                entry = tarfile.TarInfo(f"package/{name}")
                entry.size = len(data)
                entry.mode = 0o755 if name.startswith("bin/") else 0o644
                tar.addfile(entry, io.BytesIO(data))
        versions = self.packages.setdefault(declared["name"], {})
        versions[declared["version"]] = (declared, out.getvalue())

    def document(self, name: str) -> bytes | None:
        versions = self.packages.get(name)
        if versions is None:
            return None
        return json.dumps(
            {
                "name": name,
                "dist-tags": {"latest": list(versions)[-1]},
                "versions": {
                    version: {
                        **declared,
                        "dist": {
                            "tarball": f"{self.url}/-/{name}/{version}.tgz",
                            "shasum": hashlib.sha1(data).hexdigest(),
                            "integrity": "sha512-"
                            + base64.b64encode(hashlib.sha512(data).digest()).decode(),
                        },
                    }
                    for version, (declared, data) in versions.items()
                },
            }
        ).encode()

    def answer(self, path: str) -> bytes | None:
        if path.startswith("-/"):
            name, _, file = path[2:].rpartition("/")
            found = self.packages.get(name, {}).get(file.removesuffix(".tgz"))
            return found[1] if found else None
        return self.document(path)


@contextmanager
def serving(registry: Registry) -> Iterator[Registry]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = registry.answer(unquote(self.path).lstrip("/"))
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    registry.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(
    folder: Path,
    registry: Registry,
    *command: str,
    home: Path | None = None,
    umask: int = -1,
) -> None:
    """Runs an installer against that registry alone, with its caches in `home`."""
    home = home or folder.parent / "home"
    home.mkdir(parents=True, exist_ok=True)
    kept = {key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ}
    environ = {
        **kept,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_DATA_HOME": str(home / "data"),
        "npm_config_registry": registry.url + "/",
        "npm_config_cache": str(home / "npm"),
        "npm_config_audit": "false",
        "npm_config_fund": "false",
        "npm_config_update_notifier": "false",
        "npm_config_store_dir": str(home / "pnpm"),
        "npm_config_manage_package_manager_versions": "false",
        # pnpm reads npm's variables up to 11, and its own after that.
        "pnpm_config_registry": registry.url + "/",
        "pnpm_config_store_dir": str(home / "pnpm"),
        "YARN_NPM_REGISTRY_SERVER": registry.url,
        "YARN_UNSAFE_HTTP_WHITELIST": "127.0.0.1",
        "YARN_GLOBAL_FOLDER": str(home / "yarn"),
        "YARN_NPM_MINIMAL_AGE_GATE": "0",
        "YARN_ENABLE_TELEMETRY": "0",
        "YARN_ENABLE_IMMUTABLE_INSTALLS": "0",
        "BUN_CONFIG_REGISTRY": registry.url,
        "BUN_INSTALL_CACHE_DIR": str(home / "bun"),
        "CI": "true",
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        umask=umask,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def function(**changes: Any) -> Function:
    fields: dict[str, Any] = {
        "runtime": RUNTIMES["nodejs22.x"],
        "handler": Handler("app.handler", "app", "handler"),
        "method": Method.NODE,
    }
    return samples.function(**{**fields, **changes})


def pack(workshop: Workshop, *, locked: bool = False, **changes: Any) -> Contents:
    Output(workshop.root).prepare()
    request = BuildRequest(
        function=function(**changes), toolchain=current_toolchain(), locked=locked
    )
    return packaged.pack(request, workshop)


def names(contents: Contents) -> list[str]:
    """All names in the zip to be, sorted."""
    vendored = contents.dependencies.members if contents.dependencies else ()
    return sorted([*(entry.name for entry in contents.own), *(item.name for item in vendored)])


def unpack(contents: Contents, folder: Path) -> Path:
    """The zip as Lambda lays it out, in a folder with nothing above it."""
    folder.mkdir(parents=True)
    with open(folder.with_suffix(".zip"), "w+b") as out:
        archive.write(out, contents)
        with zipfile.ZipFile(out) as opened:
            for info in opened.infolist():
                path = opened.extract(info, folder)
                os.chmod(path, info.external_attr >> 16 & 0o777)
    return folder


def call(folder: Path, module: str = "./app.js", export: str = "handler") -> Any:
    """What the handler in that folder answers, in a Node.js that sees nothing else."""
    script = (
        "import(process.argv[1]).then(async (loaded) => {"
        "const found = loaded[process.argv[2]] ?? loaded.default[process.argv[2]];"
        "console.log(JSON.stringify(await found({})));"
        "}).catch((fault) => { console.error(fault); process.exit(1); })"
    )
    done = subprocess.run(
        ["node", "-e", script, str(folder / module), export],
        check=False,
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def codes(diagnostics: Sequence[Any]) -> list[str]:
    return [diagnostic.code for diagnostic in diagnostics]


def elf(cpu: str) -> bytes:
    """A shared object for that processor, with nothing in it."""
    machine = {"x64": 62, "arm64": 183}[cpu]
    start = b"\x7fELF\x02\x01\x01" + bytes(9)
    return start + struct.pack("<2HI3QI6H", 3, machine, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0)
