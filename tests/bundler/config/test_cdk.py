"""Apps of the real aws-cdk-lib: synthesised, read, built, called; and the other way round."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest

from lambdad.bundler.config.find import read_project
from lambdad.bundler.model import Project
from lambdad.bundler.store.store import Store
from tests.support.cdk import METADATA, NO_STAGING, Synthesiser, cdk
from tests.support.loading import call_node, call_python, unpack
from tests.support.paths import ROOT

__all__ = ["cdk"]

APP = ROOT / "fixtures" / "cdk"

OWN: Final = {
    "Main/AWS679f53fac002430cb0da5b7982bd2287",
    "Main/BucketNotificationsHandler050a0587b7544547bf325f094a3db834",
    "Main/Custom::CDKBucketDeployment8693BB64968944B69AAFB0CC9EB8756C",
    "Main/Custom::S3AutoDeleteObjectsCustomResourceProvider/Handler",
    "Main/Custom::VpcRestrictDefaultSGCustomResourceProvider/Handler",
    "Main/LogRetentionaae0aa3c5b4d4f87b02d85b201efdd8a",
    "Main/Provider/framework-isComplete",
    "Main/Provider/framework-onEvent",
    "Main/Provider/framework-onTimeout",
}
"""Nobody wrote these functions of the app."""

FROM_FOLDERS: Final = {
    "Main/Greet": "greet",
    "Main/Inner/Report": "report",
    "Main/List": "list",
    "Main/Report": "report",
    "Main/SingletonLambdaonlyone": "report",
    "Prod/Api/Handler": "report",
}

OTHERS: Final = {
    "Main/Image": ["container-image"],
    "Main/Inline": ["inline-code"],
    "Main/Packed": ["ready-archive"],
    "Main/Stored": ["remote-code"],
}


@pytest.fixture
def app(tmp_path: Path, cdk: Synthesiser) -> Path:
    return laid_out(tmp_path / "app", cdk.library)


@pytest.fixture(scope="module")
def synthesised(tmp_path_factory: pytest.TempPathFactory, cdk: Synthesiser) -> Path:
    """The app with what cdk synth writes by default, which names no absolute path: to be copied."""
    root = laid_out(tmp_path_factory.mktemp("cdk") / "app", cdk.library)
    cdk.synth(root, METADATA)
    return root


@pytest.fixture
def copied(synthesised: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(synthesised, tmp_path / "app", symlinks=True))


def laid_out(root: Path, library: Path) -> Path:
    shutil.copytree(APP, root)
    (root / "node_modules").symlink_to(library)
    with zipfile.ZipFile(root / "packed.zip", "w") as archive:
        archive.writestr("app.py", "")
    return root


def read(root: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The functions' code folders, and the others' codes, less those of the CDK's own."""
    project = read_project(str(root), {})
    assert own(project) == OWN
    assert project.diagnostics == ()
    not_built = {
        each.name: [item.code for item in each.diagnostics]
        for each in project.not_built
        if each.name not in OWN
    }
    return {function.name: function.code for function in project.functions}, not_built


def own(project: Project) -> set[str]:
    return {
        each.name
        for each in project.not_built
        if [item.code for item in each.diagnostics] == ["framework-function"]
    }


def lambdad(root: Path, store: Store, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lambdad", *arguments],
        cwd=root,
        env={**os.environ, "LAMBDAD_CACHE_DIR": str(store.root), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def built(root: Path, store: Store, *names: str) -> dict[str, dict[str, Any]]:
    done = lambdad(root, store, "build", "--json", *names)
    assert "Traceback" not in done.stderr, done.stderr
    return {item["name"]: item for item in json.loads(done.stdout)["functions"]}


COPIES: Final = {
    **OTHERS,
    **{name: ["unknown-source"] for name in FROM_FOLDERS},
    "Main/Web": ["ready-asset"],
}


def test_copies(copied: Path) -> None:
    """By default the assembly holds copies, whose functions are refused; bundled ones are ready."""
    assert read(copied) == ({}, COPIES)


def test_bare(app: Path, cdk: Synthesiser) -> None:
    """The same without the metadata that the cdk command asks for, as app.synth() alone writes."""
    cdk.synth(app, {})
    assert read(app) == ({}, COPIES)


def test_sources(app: Path, cdk: Synthesiser, tmp_path: Path, shared_store: Store) -> None:
    """Without staging the assembly tells the sources: they are built, and their handlers answer."""
    cdk.synth(app, NO_STAGING)
    assert read(app) == (FROM_FOLDERS, {**OTHERS, "Main/Web": ["ready-asset"]})

    functions = built(app, shared_store)
    assert functions["Main/Report"]["architecture"] == "arm64"
    assert {name for name, item in functions.items() if item["status"] == "built"} == set(
        FROM_FOLDERS
    )
    report = unpack(app / ".lambdad/build/Prod-Api-Handler.zip", tmp_path / "report")
    assert call_python("3.12", report, "app.handler", {"text": "a\nb"}) == {"lines": 2}
    greet = unpack(app / ".lambdad/build/Main-Greet.zip", tmp_path / "greet")
    assert call_node(greet, "greet.handler", {"name": "Ada"}) == {"text": "Hello, Ada!"}
    listed = unpack(app / ".lambdad/build/Main-List.zip", tmp_path / "list")
    assert call_node(listed, "list.handler", {"prefix": "ap"}) == ["apple", "apricot"]


def test_mapped(copied: Path, tmp_path: Path, shared_store: Store) -> None:
    """lambdad.toml says of what copies and bundled assets are made; by logical id as well."""
    app = copied
    template = json.loads((app / "cdk.out/Main.template.json").read_text())
    (logical_id,) = [
        name
        for name, resource in template["Resources"].items()
        if resource.get("Metadata", {}).get("aws:cdk:path") == "Main/List/Resource"
    ]
    (app / "lambdad.toml").write_text(
        f'[functions.{logical_id}]\ncode = "list"\n[functions."Main/Web"]\n'
        'handler = "web/index.handler"\n'
    )
    functions = built(app, shared_store, logical_id, "Main/Web")
    assert {name: item["status"] for name, item in functions.items()} == {
        "Main/List": "built",
        "Main/Web": "built",
    }
    web = unpack(app / ".lambdad/build/Main-Web.zip", tmp_path / "web")
    answer = call_node(web, functions["Main/Web"]["handler"], {"path": "/x"})
    assert answer == {"statusCode": 200, "body": "/x"}

    why = lambdad(app, shared_store, "why", logical_id)
    assert why.returncode == 0, why.stderr
    assert "Main/List" in why.stdout


def test_init_finds_what_was_copied(copied: Path, shared_store: Store) -> None:
    """lambdad init writes down which folders the copies are of, and the app then builds."""
    done = lambdad(copied, shared_store, "init")
    assert done.returncode == 0, done.stderr
    functions, not_built = read(copied)
    assert functions == FROM_FOLDERS
    assert not_built == {**OTHERS, "Main/Web": ["ready-asset"]}


def test_synthesised_anew(app: Path, cdk: Synthesiser, shared_store: Store) -> None:
    """The next build sees what a later cdk synth changed; what it left is not built again."""
    cdk.synth(app, NO_STAGING)
    before = built(app, shared_store)
    assert before["Main/Greet"]["runtime"] == "nodejs22.x"

    source = (app / "app.js").read_text()
    greet = '"Greet", {\n  runtime: lambda.Runtime.NODEJS_22_X'
    assert greet in source
    source = source.replace(greet, greet.replace("22", "20"))
    (app / "app.js").write_text(source.replace('"Handler", report()', '"Renamed", report()'))
    cdk.synth(app, NO_STAGING)

    after = built(app, shared_store)
    assert after["Main/Greet"]["runtime"] == "nodejs20.x"
    assert not after["Main/Greet"]["cached"]
    assert after["Main/List"]["cached"]
    assert "Prod/Api/Renamed" in after
    assert "Prod/Api/Handler" not in after


def test_the_other_way_round(app: Path, cdk: Synthesiser, shared_store: Store) -> None:
    """fromCustomCommand takes our zips as they are; what does not move keeps its asset's hash."""
    (app / "lambdad.toml").write_text(
        "# The zips go into the assembly, so nothing is read of it.\n"
        "templates = []\n"
        '[functions.report]\nhandler = "app.handler"\nruntime = "python3.12"\ncode = "report"\n'
        '[functions.list]\nhandler = "list.handler"\nruntime = "nodejs22.x"\ncode = "list"\n'
    )
    environ = {
        "script": "command.js",
        "LAMBDAD": json.dumps([sys.executable, "-m", "lambdad"]),
        "LAMBDAD_CACHE_DIR": str(shared_store.root),
    }
    cdk.synth(app, METADATA, **environ)
    first = assets(app)
    assert first["Report"].read_bytes() == (app / ".lambdad/build/report.zip").read_bytes()
    assert first["List"].read_bytes() == (app / ".lambdad/build/list.zip").read_bytes()

    (app / "list/items.ts").write_text('export const items: string[] = ["plum"];\n')
    cdk.synth(app, METADATA, **environ)
    second = assets(app)
    assert second["Report"].name == first["Report"].name
    assert second["List"].name != first["List"].name

    (app / "list/list.ts").write_text("export const handler = (\n")
    with pytest.raises(AssertionError, match="list"):
        cdk.synth(app, METADATA, **environ)


def assets(root: Path) -> dict[str, Path]:
    """What a deploy of the stack would upload for each of its functions."""
    template = json.loads((root / "cdk.out/Main.template.json").read_text())
    return {
        resource["Metadata"]["aws:cdk:path"].split("/")[1]: root
        / "cdk.out"
        / resource["Metadata"]["aws:asset:path"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Lambda::Function"
    }
