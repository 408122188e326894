"""A Python function with about 37 MB of real dependencies."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin

from benchmarks.measure import Claim, Cost, in_turn, run
from benchmarks.peers import HERE, LAMBDAD, SAM_ENVIRON, ZIP_SCRIPT, sam

REQUIREMENTS = "boto3\nrequests\npydantic\nnumpy\naws-lambda-powertools\n"
VERSION = f"3.{sys.version_info.minor}"
COMPILE = (
    f"--quiet --generate-hashes --no-header --python-version {VERSION} "
    "--python-platform x86_64-manylinux2014 --only-binary :all: requirements.in"
)
RUNS = 5


def claims(folder: Path) -> list[Claim]:
    app, store = folder / "app", folder / "store"
    write_app(app)
    environ = {"LAMBDAD_CACHE_DIR": str(store)}
    print("fetching the wheels ...", flush=True)
    wheels = folder / "wheels"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    locked = app / "src" / "requirements.txt"
    run([*pip, "download", "--only-binary=:all:", "-d", wheels, "-r", locked], folder)
    run([LAMBDAD, "build", "--locked"], app, environ)
    uv = find_uv_bin()
    local: list[str | Path] = ["--no-index", "--find-links", wheels, "-r", locked]
    run([uv, "pip", "install", "--quiet", *local, "--target", folder / "warm-uv"], folder)

    def ours() -> Cost:
        shutil.rmtree(app / ".lambdad")
        shutil.rmtree(store / "segments")
        return run([LAMBDAD, "build", "--locked"], app, environ)

    def installed(install: list[str | Path], name: str) -> Cost:
        target, archive = folder / name, folder / f"{name}.zip"
        shutil.rmtree(target, ignore_errors=True)
        cost = run([*install, *local, "--target", target], folder)
        return cost + run([sys.executable, "-c", ZIP_SCRIPT, target, archive], HERE)

    cold, by_pip, by_uv = in_turn(
        RUNS,
        ours,
        lambda: installed([*pip, "install"], "pip"),
        lambda: installed([uv, "pip", "install", "--quiet"], "uv"),
    )
    found = [
        Claim(
            what="cold build, wheels at hand, CPU",
            ours=cold.cpu_s,
            yardstick="pip install --target and zip",
            theirs=by_pip.cpu_s,
            limit=by_pip.cpu_s / 10,
            promise="at least 10 times less",
        ),
        Claim(
            what="cold build, wheels at hand, CPU",
            ours=cold.cpu_s,
            yardstick="uv pip install --target and zip",
            theirs=by_uv.cpu_s,
            limit=by_uv.cpu_s / 5,
            promise="at least 5 times less",
        ),
    ]
    return [*found, *edit_claims(app, environ)]


def edit_claims(app: Path, environ: dict[str, str]) -> list[Claim]:
    program = sam()
    if program is None:
        return []
    numbers = itertools.count(1)

    def edit() -> None:
        (app / "src" / "app.py").write_text(HANDLER.replace("0", str(next(numbers)), 1))

    def ours() -> Cost:
        edit()
        return run([LAMBDAD, "build", "--locked"], app, environ)

    def theirs() -> Cost:
        edit()
        cost = run([program, "build", "--cached"], app, SAM_ENVIRON)
        built = app / ".aws-sam" / "build" / "Science"
        return cost + run([sys.executable, "-c", ZIP_SCRIPT, built, app.parent / "sam.zip"], HERE)

    ours(), theirs()
    mine, peer = in_turn(3, ours, theirs)
    return [
        Claim(
            what="one-line edit to zip, whole process",
            ours=mine.wall_s,
            yardstick="sam build --cached and zip",
            theirs=peer.wall_s,
            limit=peer.wall_s / 20,
            promise="at least 20 times faster",
        )
    ]


HANDLER = """import boto3, numpy, pydantic, requests, aws_lambda_powertools

EDIT = 0


def handler(event, context):
    return {"edit": EDIT, "numpy": numpy.__version__}
"""


def write_app(app: Path) -> None:
    """A SAM app for this interpreter's version, which SAM and pip then need not look for."""
    (app / "src").mkdir(parents=True)
    (app / "src" / "app.py").write_text(HANDLER)
    (app / "requirements.in").write_text(REQUIREMENTS)
    subprocess.run(
        [find_uv_bin(), *f"pip compile {COMPILE} -o src/requirements.txt".split()],
        cwd=app,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (app / "requirements.in").unlink()
    (app / "template.yaml").write_text(
        "AWSTemplateFormatVersion: '2010-09-09'\n"
        "Transform: AWS::Serverless-2016-10-31\n"
        "Resources:\n"
        "  Science:\n"
        "    Type: AWS::Serverless::Function\n"
        "    Properties:\n"
        "      CodeUri: src\n"
        "      Handler: app.handler\n"
        f"      Runtime: python{VERSION}\n"
        "      Architectures: [x86_64]\n"
    )
