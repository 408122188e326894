"""Whether an answer tells of a moment at which it may: none before it was asked for."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, field
from typing import Any

from tests.torture.layout import IN_PLACE, PACKAGED
from tests.torture.model import States
from tests.torture.state import GONE, State, tokens_in
from tests.torture.world import World

RESTLESS = 5
"""After so many changes a build may give up (bundler/build.py: ROUNDS)."""


ELSEWHERE = ("no-project", "not-writable")
"""What the daemon says while its project's folder is not there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got, with the steps that were done before it asked and begun when it heard."""

    names: tuple[str, ...]
    want: str
    low: int
    high: int
    status: int
    body: dict[str, Any]
    tokens: dict[str, frozenset[str]]
    """Of each function that was built, read at once."""
    kills: int
    """While it waited."""
    number: int = 0


@dataclass(slots=True)
class Judge:
    world: World
    digests: dict[tuple[str, str], str] = field(default_factory=dict)
    """By function and signature: the live digest that goes with it."""
    answers: int = 0
    certain: int = 0
    """Answers that could be of one moment alone."""
    failures: int = 0
    """Failed builds among them, each for its reason."""

    def verdict(self, answer: Answer) -> str | None:
        """What is wrong with the answer, if anything is."""
        self.answers += 1
        if answer.low == answer.high:
            self.certain += 1
        moments = [self.world.history[n] for n in range(answer.low, answer.high + 1)]
        blurred = any(n in self.world.blurred for n in range(answer.low + 1, answer.high + 1))
        if answer.status == 404:
            gone = any(name not in moment for moment in moments for name in answer.names)
            return None if gone else f"not known: {answer.body}"
        if answer.status == 500 and blurred and answer.body.get("code") in ELSEWHERE:
            return None
        if answer.status != 200:
            return f"status {answer.status}: {answer.body}"
        if not answer.body["functions"] and answer.body["diagnostics"]:
            broken = any(not moment for moment in moments)
            return None if broken else f"project at fault: {answer.body['diagnostics']}"
        installing = any(n in self.world.installing for n in range(answer.low, answer.high + 1))
        told = {found["name"]: found for found in answer.body["functions"]}
        for name in answer.names:
            if name not in told:
                if all(name in moment for moment in moments):
                    return f"{name} is not in the answer"
            elif fault := self._fault(
                answer, told[name], moments, blurred=blurred or (installing and name in PACKAGED)
            ):
                return f"{name}: {fault}"
        return None

    def _fault(
        self, answer: Answer, told: dict[str, Any], moments: list[States], *, blurred: bool
    ) -> str | None:
        """What is wrong with what is told of one function."""
        name = told["name"]
        found = (moment[name].of(answer.want) for moment in moments if name in moment)
        states = list(dict.fromkeys(found))
        if told["status"] == "failed":
            self.failures += 1
            codes = frozenset(d["code"] for d in told["diagnostics"] if d["severity"] == "error")
            gone = any(name not in moment for moment in moments)
            if blurred or _fails_rightly(codes, answer, states, gone=gone):
                return None
            shown = [d["message"] for d in told["diagnostics"]]
            return f"failed as {sorted(codes)} {shown}, expected {_shown(states)}"
        if told["status"] != "built":
            return f"is {told['status']}"
        good = [state for state in states if not state.faults]
        if answer.want == "live" and name in IN_PLACE:
            if blurred:
                return None  # its digest is of what nobody noted
            return self._digest_fault(name, told["live"]["digest"], good)
        tokens = answer.tokens[name]
        if blurred:
            if any(name not in moment or moment[name].faults for moment in moments):
                return None  # what it could hold meanwhile, nobody noted
            # Of any function: its own handler may have been another.
            before, *later = (_tokens_at(moment) for moment in moments)
            # What was written meanwhile is newer than all there was, though no moment has it: amid
            # a reinstall a package may be there, and not yet the package.json that says its file.
            newest = max(before, default="")
            old = sorted(t for t in tokens.difference(before, *later) if t <= newest)
            return f"older: {old}" if old else None
        if any(state.tokens == tokens for state in good):
            return None
        if any(state.doubts and tokens <= state.tokens for state in good):
            return None
        near = min(good, key=lambda state: len(state.tokens ^ tokens), default=None)
        if near is None:
            return f"built, though {_shown(states)}"
        return f"has {sorted(tokens - near.tokens)}, lacks {sorted(near.tokens - tokens)}"

    def _digest_fault(self, name: str, digest: str, good: list[State]) -> str | None:
        known = {self.digests.get((name, state.signature)) for state in good}
        if digest in known:
            return None
        if len(good) == 1 and known == {None}:
            taken = [key for key, other in self.digests.items() if other == digest]
            if taken:
                return f"the digest of another content: {digest}"
            self.digests[name, good[0].signature] = digest
            return None
        if not good:
            return "built, though broken"
        return None if None in known else f"another digest: {digest}, of {len(good)} states"


def _tokens_at(moment: States) -> frozenset[str]:
    """Of all functions: tokens are numbered in the order in which they are written."""
    return frozenset(token for state in moment.values() for token in state.tokens)


def _fails_rightly(
    codes: frozenset[str], answer: Answer, states: list[State], *, gone: bool
) -> bool:
    if codes and any(state.faults <= codes <= state.faults | state.doubts for state in states):
        return True
    if "unreadable-file" in codes:  # it went while it was read, and may be there again
        return any(state.faults for state in states)
    if codes == {"missing-handler-file"}:
        return answer.low < answer.high and any(state.faults == GONE for state in states)
    if codes == {"restless-sources"}:
        return answer.high - answer.low >= RESTLESS
    if codes == {"function-gone"}:
        return gone
    return codes in ({"esbuild-gone"}, {"tool-killed"}) and answer.kills > 1


def _shown(states: list[State]) -> str:
    return "; ".join(f"{sorted(state.faults) or sorted(state.tokens)}" for state in states[-3:])


def tokens_of(root: str, told: dict[str, Any], want: str) -> frozenset[str]:
    """What the built thing holds. Raises OSError if it is not there."""
    if want == "zip":
        path = os.path.join(root, told["artifact"]["immutable_path"])
        with zipfile.ZipFile(path) as archive:
            texts = [
                archive.read(name).decode()
                for name in archive.namelist()
                if not name.endswith(".map")
            ]
    elif told["name"] in IN_PLACE:
        texts = []  # the user's own files: its digest says which
    else:
        with open(os.path.join(root, told["live"]["entry"]), encoding="utf-8") as file:
            texts = [file.read()]
    return tokens_in(texts)
