from __future__ import annotations

from pathlib import Path

from lambdad.bundler.esbuild.external import CLIENTS, HELPERS, declared, externals
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.runtimes import RUNTIMES
from tests.conftest import write_tree

V16, V22 = RUNTIMES["nodejs16.x"], RUNTIMES["nodejs22.x"]


def left_out(root: Path, folder: str = "", runtime: str = "nodejs22.x") -> set[str]:
    homes = [str(root / folder) if folder else str(root)]
    seen = Seen(str(root), str(root))
    return set(externals(RUNTIMES[runtime], declared(homes, seen), homes, seen))


def test_nothing_declared(tmp_path: Path) -> None:
    """Without a declaration everything the runtime is sure to have is left out."""
    assert left_out(tmp_path) == {CLIENTS, *HELPERS}
    assert left_out(tmp_path, runtime="nodejs16.x") == {"aws-sdk"}


def test_declared_is_bundled(tmp_path: Path) -> None:
    """A declared package, and what it needs of the SDK, is not left out; others still are."""
    write_tree(
        tmp_path,
        {
            "package.json": '{"dependencies": {"@aws-sdk/client-s3": "3", "other": "1"}}',
            "node_modules/@aws-sdk/client-s3/package.json": (
                '{"dependencies": {"@aws-sdk/client-sso": "3", "@aws-sdk/util-dynamodb": "3"}}'
            ),
            "node_modules/@aws-sdk/client-sso/package.json": "{}",
            "node_modules/@aws-sdk/client-sqs/package.json": "{}",
        },
    )
    found = left_out(tmp_path)
    assert CLIENTS not in found
    assert "@aws-sdk/client-sqs" in found
    assert not found & {
        "@aws-sdk/client-s3", "@aws-sdk/client-sso", "@aws-sdk/util-dynamodb"
    }  # fmt: skip
    assert "@aws-sdk/lib-*" in found


def test_declarations_above_count(tmp_path: Path) -> None:
    """In a monorepo the root's package.json declares for the folders below it."""
    write_tree(
        tmp_path,
        {
            "package.json": '{"dependencies": {"@aws-sdk/client-s3": "3"}}',
            "api/package.json": '{"type": "module"}',
        },
    )
    assert CLIENTS not in left_out(tmp_path, "api")


def test_packages_of_the_workspace_count(tmp_path: Path) -> None:
    """What a linked package declares is the project's; what one out of a store does is not."""
    write_tree(
        tmp_path,
        {
            "api/package.json": '{"dependencies": {"lib": "*", "stored": "1"}}',
            "lib/package.json": '{"dependencies": {"@aws-sdk/client-s3": "3", "api": "*"}}',
            "node_modules/.store/node_modules/stored/package.json": (
                '{"dependencies": {"@aws-sdk/lib-storage": "3"}}'
            ),
        },
    )
    (tmp_path / "node_modules/lib").symlink_to("../lib")
    (tmp_path / "node_modules/api").symlink_to("../api")
    (tmp_path / "node_modules/stored").symlink_to(".store/node_modules/stored")
    seen = Seen(str(tmp_path), str(tmp_path))
    assert declared([str(tmp_path / "api")], seen) == {"@aws-sdk/client-s3"}
    assert "lib/package.json" in seen.inputs().files


def test_development_only_is_not_declared(tmp_path: Path) -> None:
    """What is there for development alone is taken from the runtime."""
    write_tree(tmp_path, {"package.json": '{"devDependencies": {"@aws-sdk/client-s3": "3"}}'})
    assert CLIENTS in left_out(tmp_path)


def test_version_2(tmp_path: Path) -> None:
    """Declared, version 2 is bundled on every runtime."""
    write_tree(tmp_path, {"package.json": '{"dependencies": {"aws-sdk": "2"}}'})
    assert left_out(tmp_path, runtime="nodejs16.x") == set()


def test_broken_manifests_declare_nothing(tmp_path: Path) -> None:
    """A package.json that can't be read is esbuild's to complain about."""
    for content in ("{", "[]", '{"dependencies": 3}', '"x"'):
        (tmp_path / "package.json").write_text(content)
        assert left_out(tmp_path) == {CLIENTS, *HELPERS}
    seen = Seen(str(tmp_path), str(tmp_path))
    declared([str(tmp_path)], seen)
    assert seen.inputs().files == {"package.json"}
