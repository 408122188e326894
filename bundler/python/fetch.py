"""From pins to proved wheels in the store: by pip, so that indexes, proxies, certificates and

credentials work as the user set them. What was picked once is remembered, and no pip runs again.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.specifiers import InvalidSpecifier
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from lambdad.bundler import trust
from lambdad.bundler.model import Diagnostic, ProjectError, error, retried, warning
from lambdad.bundler.python import built, index_probe, indexes, interpreters, misses, pip
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.built import NotBuiltError
from lambdad.bundler.python.indexes import Indexes
from lambdad.bundler.python.locks.lock import Pinned
from lambdad.bundler.python.misses import Miss
from lambdad.bundler.python.target import Target
from lambdad.bundler.python.wheels import wheel
from lambdad.bundler.python.wheels.wheel import Wheel
from lambdad.bundler.tool_faults import scrubbed
from lambdad.bundler.workshop import Workshop


def wheels(
    pins: Sequence[Pinned], target: Target, sources: Indexes, workshop: Workshop
) -> tuple[dict[str, Wheel], tuple[Diagnostic, ...]]:
    """Each pin's wheel, by name, and warnings on those that had to be built here.

    Raises ProjectError, all faults together: `no-wheel`, `hash-mismatch`, `package-not-found`,
    and what wheel.add finds. Raises BundlerError: `offline`, `pip-failed`, and the machine's faults
    (tool_faults).
    """
    errand = _Errand(
        target=target, sources=sources, workshop=workshop, found={}, logs={}, faults=[]
    )
    left = [pin for pin in pins if not _recall(errand, pin)]
    unfit = [pin for pin in left if not pin.fits]
    errand.faults.extend(no_wheel(pin, target, "its lock lists no file that fits") for pin in unfit)
    left = [pin for pin in left if pin.fits and not _take_local(errand, pin)]
    if left and workshop.offline:
        raise built.offline(f"{_some(pin.name for pin in left)} must be fetched")
    if left and not workshop.trusted:
        _check_places(left, sources, workshop)
        errand = replace(errand, sources=indexes.without_places(sources))
    if left:
        key = ("fetch", *((_key(errand, pin), pin.where) for pin in left), sources)
        workshop.attempts.once(key, lambda: _fetch(errand, left))
    if errand.faults:
        raise ProjectError(*errand.faults)
    return {name: wheel for name, (wheel, _) in errand.found.items()}, _notes(errand)


def _check_places(pins: Sequence[Pinned], sources: Indexes, workshop: Workshop) -> None:
    """Raises BundlerError `untrusted-build` if an untrusted project says where to fetch from. The
    packages are not looked for elsewhere instead: one of the same name may be a stranger's
    there."""
    places = [*indexes.strangers(sources, workshop.environ)]
    places += [pin.url for pin in pins if pin.direct and pin.url is not None]
    if places:
        what = f"{_some(pin.name for pin in pins)} must be fetched"
        raise trust.untrusted(f"{what} from {scrubbed(places[0])}, which the project names")


def _fetch(errand: _Errand, pins: Sequence[Pinned]) -> None:
    """Raises ProjectError with all faults of those pins: indexes and tools had their say."""
    known = len(errand.faults)
    source_only = [pin for pin in pins if _is_sdist(pin, errand.sources)]
    unmatched = _download(errand, [pin for pin in pins if pin not in source_only])
    for pin in (*source_only, *unmatched):
        _build(errand, pin)
    if len(errand.faults) > known:
        raise ProjectError(*errand.faults[:known], *retried(errand.faults[known:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errand:
    """What one fetch carries along and gathers."""

    target: Target
    sources: Indexes
    workshop: Workshop
    found: dict[str, tuple[Wheel, bool]]
    """By name; the flag says that it was built here."""
    logs: dict[str, str]
    """By name, pip's log of the search that found no wheel."""
    faults: list[Diagnostic]


def _is_sdist(pin: Pinned, sources: Indexes) -> bool:
    return bool(pin.sdist) or _is_unwanted(pin, sources)


def _is_unwanted(pin: Pinned, sources: Indexes) -> bool:
    """The user asked for its source, whatever wheels there are."""
    return pin.name in sources.no_binary or ":all:" in sources.no_binary


def _key(errand: _Errand, pin: Pinned, *, is_built: bool = False) -> str:
    """What was built here depends on the indexes, too: its build tools came from there."""
    forced = _is_sdist(pin, errand.sources)
    parts = [pin.name, pin.version, pin.hashes, pin.url, forced, errand.target.key]
    if is_built:
        parts.append(repr(indexes.without_secrets(errand.sources)))
    return f"pick-{built.key_of('pick', *parts)}"


def _recall(errand: _Errand, pin: Pinned) -> bool:
    for is_built in (False, True):
        known = built.recall(errand.workshop, _key(errand, pin, is_built=is_built))
        if known is None or known["built"] != is_built:
            continue
        if found := wheel.load(errand.workshop.store, known["wheel"]):
            errand.found[pin.name] = (found, is_built)
            return True
    if len(pin.hashes) == 1 and pin.hashes[0].startswith("sha256:") and pin.sdist is False:
        # Fetched for another target, or by another lock.
        found = wheel.load(errand.workshop.store, pin.hashes[0].removeprefix("sha256:"))
        fits = found is not None and misfit(found, errand.target) is None
        return fits and found is not None and _keep(errand, pin, found, is_built=False)
    return False


def _keep(errand: _Errand, pin: Pinned, found: Wheel, *, is_built: bool) -> bool:
    """Judges a wheel against the target, then remembers it. True: this pin is done with."""
    problem = misfit(found, errand.target)
    if problem is None and pin.version and not _same_version(pin.version, found.version):
        problem = f"the file is of version {found.version}"
    if problem is None and canonicalize_name(found.name) != pin.name:
        problem = f"the file is of {found.name}"
    if problem is not None:
        errand.faults.append(no_wheel(pin, errand.target, problem))
        return True
    errand.found[pin.name] = (found, is_built)
    document = {"wheel": found.sha256, "built": is_built}
    built.remember(errand.workshop, _key(errand, pin, is_built=is_built), document)
    return True


def _same_version(one: str, other: str) -> bool:
    from packaging.utils import canonicalize_version

    return canonicalize_version(one) == canonicalize_version(other)


def misfit(found: Wheel, target: Target) -> str | None:
    """Why the target can't use the wheel; None if it can."""
    if targets.rank(target, Path(found.path).name) is None:
        return f"{Path(found.path).name} is for something else"
    if found.requires_python is not None:
        try:
            if not targets.accepts(target, found.requires_python):
                return f"it needs Python {found.requires_python}"
        except InvalidSpecifier:
            return f"its Requires-Python can't be read: {found.requires_python}"
    return None


def _take_local(errand: _Errand, pin: Pinned) -> bool:
    """A wheel that lies in a local file; an sdist there is built later."""
    if pin.path is None or not pin.path.endswith(".whl") or not Path(pin.path).is_file():
        return False
    return _add(errand, pin, Path(pin.path))


def _add(errand: _Errand, pin: Pinned, path: Path) -> bool:
    """Into the store, its hash checked by us as well. True: this pin is done with."""
    expected = [text.removeprefix("sha256:") for text in pin.hashes if text.startswith("sha256:")]
    try:
        found = wheel.add(errand.workshop.store, path, expected or None)
    except ProjectError as fault:
        errand.faults.extend(fault.diagnostics)
        return True
    return _keep(errand, pin, found, is_built=False)


# --- pip download ----------------------------------------------------------------------------


def _download(errand: _Errand, pins: Sequence[Pinned]) -> list[Pinned]:
    """One pip for all; again only for those it went without. Returns what has no fitting wheel."""
    if pins:
        count = "1 wheel" if len(pins) == 1 else f"{len(pins)} wheels"
        errand.workshop.say(f"fetching {count} for {errand.target}")
    unmatched = _download_as(errand, pins, lambda pin: pin.direct and pin.url is not None)
    by_url = [pin for pin in unmatched if pin.url and not pin.direct]
    if by_url and not errand.workshop.trusted:
        what = f"{_some(pin.name for pin in by_url)} must be fetched from where the lock says"
        raise trust.untrusted(what)
    if by_url:
        # The index the lock was made from is not one of those that are configured here.
        still = _download_as(errand, by_url, lambda pin: True)
        unmatched = [pin for pin in unmatched if pin not in by_url or pin in still]
    return unmatched


def _download_as(
    errand: _Errand, pins: Sequence[Pinned], at_url: Callable[[Pinned], bool]
) -> list[Pinned]:
    left = {pin.name: pin for pin in pins}
    unmatched: list[Pinned] = []
    while left:
        with errand.workshop.store.workspace() as folder:
            miss = _run_pip(errand, [_line(pin, at_url(pin)) for pin in left.values()], folder)
            if miss is None:
                _take_files(errand, left, folder / "out")
                return unmatched
        if miss.name not in left:
            raise misses.pip_failed(miss.text)
        pin = left.pop(miss.name)
        if miss.kind == "hash":
            errand.faults.append(_mismatch(pin, miss))
        elif miss.kind == "corrupt":
            errand.faults.append(_corrupt(pin))
        else:
            errand.logs[pin.name] = miss.log
            unmatched.append(pin)
    return unmatched


def _line(pin: Pinned, at_url: bool) -> str:
    hashes = " ".join(f"--hash={text}" for text in pin.hashes)
    if at_url:
        return f"{pin.name} @ {(pin.url or '').partition('#')[0]} {hashes}"
    return f"{pin.name}=={pin.version} {hashes}"


def _run_pip(errand: _Errand, requirements: Sequence[str], folder: Path) -> Miss | None:
    flags = ["--require-hashes", "--only-binary=:all:", *targets.pip_flags(errand.target)]
    done = pip.download(requirements, errand.sources, errand.workshop, folder, flags)
    if done.ended.code == 0:
        return None
    miss = misses.diagnose(done.ended, done.log)
    if miss.on_empty_page and (fault := index_probe.fault(errand.sources, errand.workshop)):
        raise fault
    return miss


def _take_files(errand: _Errand, pins: Mapping[str, Pinned], folder: Path) -> None:
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        try:
            files[parse_wheel_filename(path.name)[0]] = path
        except InvalidWheelFilename:
            continue
    for name, pin in pins.items():
        if name not in files:
            raise misses.pip_failed(f"pip brought no wheel of {name}")
        _add(errand, pin, files[name])


# --- from source -----------------------------------------------------------------------------


def _build(errand: _Errand, pin: Pinned) -> None:
    """A wheel of the pin's sdist, whose hash pip checks before it runs anything of it."""
    if reason := _in_vain(errand, pin):
        pin = replace(pin, misfits=tuple(_misfits(errand, pin)))
        errand.faults.append(no_wheel(pin, errand.target, reason))
        return
    asked = f"{pin.name} {pin.version}" if pin.version else pin.name
    errand.workshop.say(f"building {asked} from source, which may take minutes")
    try:
        found = _built_at(errand, pin, at_url=pin.direct or pin.path is not None)
        if isinstance(found, Miss) and found.kind == "absent" and pin.url and not pin.direct:
            found = _built_at(errand, pin, at_url=True)
    except NotBuiltError as fault:
        errand.faults.append(no_wheel(pin, errand.target, fault.reason, fault.output))
        return
    except ProjectError as fault:
        errand.faults.extend(fault.diagnostics)
        return
    if isinstance(found, Wheel):
        _keep(errand, pin, found, is_built=True)
    elif found.kind == "hash" and pin.sdist:
        errand.faults.append(_mismatch(pin, found))
    elif found.kind == "hash":
        reason = "no wheel fits, and its sdist is not one the lock allows"
        errand.faults.append(no_wheel(pin, errand.target, reason))
    elif _is_listed(pin, errand.logs.get(pin.name, "")):
        pin = replace(pin, misfits=tuple(_misfits(errand, pin)))
        reason = "no wheel fits, and there is no sdist of it"
        errand.faults.append(no_wheel(pin, errand.target, reason))
    elif "from versions: none" in found.text:
        errand.faults.append(_not_found(pin, f"no index has a package {pin.name}"))
    else:
        errand.faults.append(_not_found(pin, f"no index has {pin.name} {pin.version or ''}"))


def _in_vain(errand: _Errand, pin: Pinned) -> str | None:
    """Why a build here would take minutes and give a wheel for this machine only."""
    target, workshop = errand.target, errand.workshop
    alike = targets.is_host(target) and interpreters.find(
        target.version, workshop.environ, workshop.programs
    )
    here = targets.host_glibc()
    if alike and here is not None and here <= target.glibc:
        return None
    if reason := targets.lacking(target, _misfits(errand, pin)):
        return reason
    if not alike and any("none-any" not in filename for filename in pin.misfits):
        if not targets.is_host(target):
            return f"its source is native code, and this machine is {platform.machine()}"
        return f"its source is native code, and there is no Python {target.short} here to build it"
    return None


def _misfits(errand: _Errand, pin: Pinned) -> Sequence[str]:
    """The wheels of that version that don't fit: by the lock, else by pip's log of a search."""
    if pin.misfits or pin.direct or _is_unwanted(pin, errand.sources):
        return pin.misfits
    if pin.name not in errand.logs:  # the lock has its sdist only: no wheel was looked for yet
        with errand.workshop.store.workspace() as folder:
            miss = _run_pip(errand, [_line(pin, False)], folder)
        errand.logs[pin.name] = miss.log if miss else ""
    return misses.passed_over(errand.logs[pin.name], pin.name, pin.version)


def _built_at(errand: _Errand, pin: Pinned, *, at_url: bool) -> Wheel | Miss:
    if at_url and pin.path is not None:
        pin = replace(pin, url=Path(pin.path).as_uri())
    # Which formats to take is decided here.
    places = replace(errand.sources, no_binary=(), only_binary=(), prefer_binary=False)
    lines = [*indexes.lines(places), _line(pin, at_url)]
    try:
        return built.build(
            ["--require-hashes", f"--no-binary={pin.name}"],
            errand.target,
            errand.workshop,
            requirements="\n".join(lines) + "\n",
            sources=errand.sources,
        )
    except NotBuiltError as fault:
        miss = misses.diagnose(fault.ended) if fault.ended is not None else None
        if miss is not None and miss.kind != "other":
            return miss
        raise


def _is_listed(pin: Pinned, log: str) -> bool:
    """Whether pip, while it found nothing that fits, skipped a file of that version."""
    name = re.escape(pin.name).replace(r"\-", "[-_.]+")
    version = re.escape(pin.version or "")
    pattern = rf"Skipping link: .*\b{name}-{version}[-.]"
    return re.search(pattern, log, re.IGNORECASE) is not None


def _notes(errand: _Errand) -> tuple[Diagnostic, ...]:
    made = sorted(name for name, (_, is_built) in errand.found.items() if is_built)
    if not made:
        return ()
    loaded = {name: built.foreign_libraries(errand.found[name][0]) for name in made}
    if errand.target.host is not None:
        loaded = {}
    return (
        *(
            warning(
                "missing-library",
                f"{name} was built against {_some(libraries)} of this machine, "
                "which Lambda's runtimes lack",
                hint="take a package whose wheels bring it, as psycopg2-binary does for psycopg2, "
                "or put it into a layer",
            )
            for name, libraries in loaded.items()
            if libraries
        ),
        warning(
            "built-from-source",
            f"{_some(made)} came as source and was built on this machine",
            hint="another machine's build tools may give other bytes; a version that has a wheel "
            "gives the same everywhere",
        ),
    )


# --- faults of the project -------------------------------------------------------------------


def no_wheel(pin: Pinned, target: Target, reason: str, output: str = "") -> Diagnostic:
    """The package, the target, and three ways out."""
    asked = f"{pin.name} {pin.version}" if pin.version else pin.name
    if target.host is not None:
        return error(
            "no-wheel",
            f"no wheel of {asked} fits {target} ({platform.machine()}): "
            f"{reason}{built.essence(output)}",
            pin.where,
            hint=f"ask for a version of {pin.name} that has one, or install what its build needs",
        )
    other = "x86_64" if target.machine == "aarch64" else "arm64"
    has = targets.runtimes(pin.misfits) or f"{other}, another Python"
    return error(
        "no-wheel",
        f"no wheel of {asked} fits {target} (glibc {target.glibc[0]}.{target.glibc[1]}): "
        f"{reason}{built.essence(output)}",
        pin.where,
        hint=f"ask for a version of {pin.name} that has a fitting wheel; or use an architecture or "
        f"a runtime that {asked} has one for ({has}); or build the wheel on "
        f"such a machine and refer to it by its path (from a layer: "
        f'without = ["{pin.name}"])',
    )


def _mismatch(pin: Pinned, miss: Miss) -> Diagnostic:
    return error(
        "hash-mismatch",
        f"{pin.name} {pin.version or ''} is not the file that was locked: expected "
        f"{' or '.join(miss.expected)}, got {miss.got}",
        pin.where,
        hint="if the lock was edited, write it anew; if not, the index serves another file "
        "than it did: don't use it before you know why",
    )


def _corrupt(pin: Pinned) -> Diagnostic:
    return error(
        "wheel-corrupt",
        f"the wheel of {pin.name} {pin.version or ''} is no zip, or is cut short",
        pin.where,
        "fetch it again; if it stays so, pin another version and report it to the authors",
    )


def _not_found(pin: Pinned, message: str) -> Diagnostic:
    hint = "check the name and version; a private index must be in the requirements or in pip.conf"
    return error("package-not-found", message.strip(), pin.where, hint)


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - 5} more" if len(ordered) > 5 else ""
    return ", ".join(ordered[:5]) + more
