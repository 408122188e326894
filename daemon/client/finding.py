"""Which project a folder belongs to, found without importing the readers of configuration."""

from __future__ import annotations

import os

from lambdad.bundler.inputs.reading import SETTINGS, read_regular

OWN = "lambdad.toml"
PYPROJECT = "pyproject.toml"
SST_APP = "sst.json"
SST_LISTS = (".sst/functions.jsonl", ".build/lambda-handlers.json")
DESCRIBING = (
    *("template.yaml", "template.yml", "template.json"),
    *("serverless.yml", "serverless.yaml", "serverless.json"),
    *SST_LISTS,
    "cdk.out/manifest.json",
)
"""As bundler/config/find.py has them, whose imports would cost too much here."""
CDK = "cdk.json"
SAMCONFIG = ("samconfig.toml", "samconfig.yaml", "samconfig.yml")
REPOSITORY = (".git", ".hg", ".jj", ".svn")


def find_project(start: str) -> str | None:
    """The folder that bundler/config/find.py would find; None if there is none.

    Stat decides, but for files that must be parsed to know what they say: then the readers do.
    """
    folder = os.path.realpath(start)
    if not os.path.isdir(folder):
        return None
    while True:
        described = _is_described(folder)
        if described is None:
            return _ask_readers(start)
        if described:
            return folder
        above = os.path.dirname(folder)
        if above == folder or any(os.path.exists(f"{folder}/{name}") for name in REPOSITORY):
            return None
        folder = above


def _is_described(folder: str) -> bool | None:
    """Whether something there describes a project; None: that takes reading."""
    if os.path.isfile(f"{folder}/{OWN}"):
        return True
    if os.path.lexists(f"{folder}/{OWN}"):
        return None
    describing = SST_LISTS if os.path.isfile(f"{folder}/{SST_APP}") else DESCRIBING
    if any(os.path.isfile(f"{folder}/{name}") for name in describing):
        return True
    naming = (
        (PYPROJECT, b"lambdad"),
        (CDK, b"output"),
        *((name, b"template") for name in SAMCONFIG),
    )
    for name, word in naming:
        try:
            if word in read_regular(f"{folder}/{name}", SETTINGS):
                return None
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return False


def _ask_readers(start: str) -> str | None:
    from lambdad.bundler.config.find import project_folder
    from lambdad.bundler.model import BundlerError

    try:
        return project_folder(start)
    except BundlerError:
        return None
