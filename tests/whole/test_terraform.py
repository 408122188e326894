"""The example of docs/terraform.md: its functions are built, and Terraform reads the manifest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import hcl2
import pytest

from lambdad.bundler.store.store import Store
from tests.support.paths import ROOT

EXAMPLE = ROOT / "fixtures" / "terraform"
PAGE = EXAMPLE.parent.parent / "docs" / "terraform.md"

ARGUMENTS = {"filename", "source_code_hash", "handler", "runtime", "architectures"}
"""Of aws_lambda_function, as the provider's documentation has them: those of the code."""


@pytest.fixture
def example(tmp_path: Path, shared_store: Store) -> Path:
    root = Path(shutil.copytree(EXAMPLE, tmp_path / "app"))
    subprocess.run(
        [sys.executable, "-m", "lambdad", "build"],
        cwd=root,
        env={**os.environ, "LAMBDAD_CACHE_DIR": str(shared_store.root)},
        check=True,
        capture_output=True,
    )
    return root


def manifest(root: Path) -> dict[str, dict[str, Any]]:
    functions: dict[str, dict[str, Any]] = json.loads(
        (root / ".lambdad/build/manifest.json").read_text()
    )["functions"]
    return functions


def terraform(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = shutil.which("terraform")
    if command is None:
        pytest.skip("terraform is not installed")
    return subprocess.run(
        [command, *arguments],
        cwd=root,
        env={**os.environ, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"},
        check=False,
        capture_output=True,
        text=True,
    )


def test_it_is_hcl() -> None:
    """A parser of the language reads the files, and every argument of the code comes from us."""
    with open(EXAMPLE / "main.tf") as file:
        resources = [unquoted(resource) for resource in hcl2.load(file)["resource"]]
    (function,) = [
        each["aws_lambda_function"]
        for each in resources
        if len(each) == 1 and "aws_lambda_function" in each
    ]
    (settings,) = function.values()
    taken = {name: value for name, value in settings.items() if "each.value." in str(value)}
    assert taken == {name: f"${{each.value.{name}}}" for name in ARGUMENTS}
    with open(EXAMPLE / "lambdad" / "main.tf") as file:
        (output,) = map(unquoted, hcl2.load(file)["output"])
    assert all(f"{name} = " in output["functions"]["value"] for name in ARGUMENTS)


def unquoted(value: Any) -> Any:
    """Without the quotes that the parser leaves on labels."""
    if isinstance(value, dict):
        return {key.strip('"'): unquoted(item) for key, item in value.items()}
    return value


def test_the_page_shows_the_example() -> None:
    """What docs/terraform.md prints is what is tested here."""
    page = PAGE.read_text("utf-8")
    for name in ("lambdad.toml", "main.tf", "lambdad/main.tf"):
        assert (EXAMPLE / name).read_text("utf-8") in page, name


def test_the_manifest_is_read(example: Path) -> None:
    """Terraform itself makes of the manifest what its functions need; the zips are there."""
    module = example / "lambdad"
    for arguments in (["init"], ["validate"]):
        done = terraform(module, *arguments, "-no-color")
        assert done.returncode == 0, done.stderr
    variable = f"-var=project={example}"
    done = terraform(module, "apply", "-auto-approve", "-no-color", variable)
    assert done.returncode == 0, done.stderr
    told = json.loads(terraform(module, "output", "-json", "functions").stdout)

    functions = manifest(example)
    assert told.keys() == functions.keys() == {"hello", "report"}
    for name, function in functions.items():
        assert told[name] == {
            "filename": f"{example}/{function['immutable_path']}",
            "source_code_hash": function["code_sha256"],
            "handler": function["handler"],
            "runtime": function["runtime"],
            "architectures": ["arm64"],
        }
        assert Path(told[name]["filename"]).is_file()


def test_terraform_validates_it(example: Path) -> None:
    """With AWS's provider, where Terraform's registry can be reached, all of it is valid."""
    assert terraform(example, "fmt", "-check", "-recursive").returncode == 0
    done = terraform(example, "init", "-backend=false", "-no-color")
    if done.returncode != 0:
        pytest.skip(f"terraform can't fetch the provider: {done.stderr.strip()[-200:]}")
    done = terraform(example, "validate", "-no-color")
    assert done.returncode == 0, done.stderr
