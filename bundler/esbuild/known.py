"""What the last build of a bundle found out that edits of its sources leave as it is.

Its plan and its closure follow from its settings, from what its sources import, and from files,
folders and links that seldom move. While those are as they were, nothing of it is worked out again.
"""

from __future__ import annotations

import hashlib
import marshal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambdad.bundler.esbuild.closure import BundleSources, relative
from lambdad.bundler.esbuild.plan import BundlePlan
from lambdad.bundler.inputs.kept import Kept
from lambdad.bundler.memory import FUNCTIONS, Slot
from lambdad.bundler.model import InputSet
from lambdad.bundler.workshop import Workshop

_PLAIN: Final = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".css")
"""Such a file is never read as a package.json or tsconfig.json; that it is there, the names in its
folder tell."""


def imports_of(metafile: Mapping[str, Any], roots: Iterable[str]) -> bytes:
    """A digest of what each input that is reached from the roots imports, by the metafile's names:
    the same for a function built alone and among many.

    The names of an AWS SDK client would take a megabyte a function.
    """
    inputs = metafile["inputs"]
    todo = sorted(root for root in roots if root in inputs)
    named = dict.fromkeys(todo)
    for name in todo:  # which grows meanwhile
        imports = named[name] = inputs[name]["imports"]
        for item in imports:
            wanted = item["path"]
            if wanted not in named and wanted in inputs and not item.get("external"):
                named[wanted] = None
                todo.append(wanted)
    # The second version of the format knows no references: equal values have equal bytes.
    return hashlib.sha256(marshal.dumps(named, 2)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    plan: BundlePlan
    provided: tuple[str, ...]
    """Packages that were nowhere to be found and left out, since they are there when running."""
    roots: frozenset[str]
    imports: bytes
    """`imports_of` that build."""
    planned: InputSet
    """What decided the plan."""
    inputs: InputSet
    """The closure."""


BUNDLES: Final = Slot[Kept[Known]]("bundles", most=FUNCTIONS)
"""By function, and whether it is wanted live."""


def recall(plan_key: object, workshop: Workshop) -> Known | None:
    """What is known under that key, if all that decided it is as it was."""
    kept = workshop.memory.shelf(BUNDLES).get(plan_key) if workshop.memory is not None else None
    if kept is None or not kept.holds(workshop.root, workshop.look):
        return None
    return kept.value


def decided_by(inputs: InputSet, sources: BundleSources, root: str) -> InputSet:
    """All that plan and closure followed from, but for what the sources import."""
    plain = {relative(path, root) for path in sources.files if path.endswith(_PLAIN)}
    return InputSet(files=inputs.files - plain, links=inputs.links, listings=inputs.listings)
