"""What a package.json's `exports` and `imports` may lead to."""

from __future__ import annotations

from collections.abc import Iterator


def split_package(specifier: str) -> tuple[str, str]:
    """("@scope/name", "/below") of "@scope/name/below"."""
    parts = specifier.split("/", 2)
    name = "/".join(parts[: 2 if specifier.startswith("@") else 1])
    return name, specifier[len(name) :]


def targets(table: object, wanted: str) -> Iterator[str]:
    """Every path that an `exports` or `imports` map may give for a key, whatever the conditions.

    `wanted` is "." or "./below" for exports, "#name" for imports. Paths are as written, relative to
    the package; those of `imports` may name another package instead.
    """
    if not isinstance(table, dict) or not any(str(key)[:1] in (".", "#") for key in table):
        if wanted == ".":
            yield from _strings(table)
        return
    for key, value in table.items():
        if key == wanted:
            yield from _strings(value)
        elif "*" in key:
            before, _star, after = key.partition("*")
            fits = wanted.startswith(before) and wanted.endswith(after)
            if fits and len(wanted) >= len(before) + len(after):
                middle = wanted[len(before) : len(wanted) - len(after)]
                yield from (text.replace("*", middle) for text in _strings(value))
        elif key.endswith("/") and wanted.startswith(key):
            yield from (text + wanted[len(key) :] for text in _strings(value))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)
