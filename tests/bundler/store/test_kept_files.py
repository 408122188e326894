"""Kept values on disk: they come back as they were, and anything else there is a miss."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.bundler.inputs.kept import Kept
from lambdad.bundler.model import FileKey, Listing, Snapshot, Stems
from lambdad.bundler.store.kept_files import KIND, Coding, KeptFiles, KeptTable
from lambdad.bundler.store.output import Output
from lambdad.bundler.workshop import Workshop

WORDS = Coding[str]("words", 1, str, str)
PROOF = Snapshot(
    files={"a": FileKey(1, 2, 3, 4, 5, 6), "gone": None},
    links={"link": FileKey(6, 5, 4, 3, 2, 1)},
    listings={"folder": Listing(None, Stems.of(["a"]), ("a/f",))},
)
VALUE = Kept("kept", PROOF)


@pytest.fixture
def shop(workshop: Workshop) -> Workshop:
    Output(workshop.root).prepare()
    return workshop


def files(shop: Workshop) -> list[Path]:
    return sorted((shop.store.root / KIND).glob("*.json"))


def test_values_come_back_by_their_keys(shop: Workshop) -> None:
    """As they were, to whoever asks with the same key."""
    place = shop.kept(WORDS)
    assert place.get(("key", 1)) is None
    place.put(("key", 1), VALUE)
    place.put(("key", 2), replace(VALUE, value="other"))
    again = shop.kept(WORDS)
    assert again.get(("key", 1)) == VALUE
    assert again.get(("key", 2)) == Kept("other", PROOF)
    assert again.get(("key", 3)) is None


def test_another_kind_version_or_project_has_other_files(shop: Workshop, tmp_path: Path) -> None:
    """What is kept for one is nothing to another."""
    shop.kept(WORDS).put("key", VALUE)
    for other in (replace(WORDS, name="others"), replace(WORDS, version=2)):
        assert shop.kept(other).get("key") is None
    (tmp_path / "other").mkdir()
    elsewhere = replace(shop, root=str(tmp_path / "other"), repository=str(tmp_path / "other"))
    Output(elsewhere.root).prepare()
    assert elsewhere.kept(WORDS).get("key") is None


def test_what_is_asked_for_anew_is_kept_anew(shop: Workshop) -> None:
    """A forced build believes nothing, and leaves what it made."""
    shop.kept(WORDS).put("key", VALUE)
    forced = replace(shop, recall=False)
    assert forced.kept(WORDS).get("key") is None
    forced.kept(WORDS).put("key", replace(VALUE, value="anew"))
    assert shop.kept(WORDS).get("key") == Kept("anew", PROOF)
    table = shop.kept_table(WORDS)
    table.put("key", VALUE)
    table.save(lambda _key: True)
    assert forced.kept_table(WORDS).get("key") is None


def test_a_torn_file_is_a_miss(shop: Workshop) -> None:
    """Cut short anywhere, or with any byte changed, whether of one value or of many."""
    shop.kept(WORDS).put("key", VALUE)
    table = shop.kept_table(WORDS)
    table.put("key", VALUE)
    table.save(lambda _key: True)
    for path in files(shop):
        whole = path.read_bytes()
        for at in range(len(whole)):
            for torn in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
                path.write_bytes(torn)
                found = [shop.kept(WORDS).get("key"), shop.kept_table(WORDS).get("key")]
                assert None in found, at
        path.write_bytes(whole)
    assert shop.kept(WORDS).get("key") == shop.kept_table(WORDS).get("key") == VALUE


def test_a_file_under_another_name_is_a_miss(shop: Workshop) -> None:
    """The seal covers what the file is about."""
    place = shop.kept(WORDS)
    place.put("one", VALUE)
    (one,) = files(shop)
    place.put("two", replace(VALUE, value="two"))
    (two,) = set(files(shop)) - {one}
    os.replace(two, one)
    assert place.get("one") is None


@pytest.mark.parametrize("fault", [LookupError, TypeError, ValueError, AttributeError])
def test_a_value_that_can_not_be_read_is_a_miss(shop: Workshop, fault: type[Exception]) -> None:
    """So is one that names something that is there no longer."""
    shop.kept(WORDS).put("key", VALUE)

    def decode(_saved: object) -> str:
        raise fault

    assert shop.kept(replace(WORDS, decode=decode)).get("key") is None


def test_a_table_is_written_once(shop: Workshop) -> None:
    """When it is saved, if it has changed, without the keys that do not last."""
    table = shop.kept_table(WORDS)
    table.save(lambda _key: True)
    assert files(shop) == []
    for key in ("a", "b"):
        table.put(key, replace(VALUE, value=key))
    assert files(shop) == []
    table.save(lambda key: key != "a")
    again = shop.kept_table(WORDS)
    assert (again.get("a"), again.get("b")) == (None, Kept("b", PROOF))


def test_without_an_identity_nothing_is_kept(workshop: Workshop) -> None:
    """No seal could say that a file is this project's."""
    place: KeptFiles[str] = workshop.kept(WORDS)
    place.put("key", VALUE)
    table: KeptTable[str] = workshop.kept_table(WORDS)
    table.put("key", VALUE)
    table.save(lambda _key: True)
    assert files(workshop) == []


def test_a_store_that_can_not_be_written_keeps_nothing(shop: Workshop) -> None:
    """Which costs time alone."""
    shop.store.root.mkdir(exist_ok=True)
    (shop.store.root / KIND).write_text("a file where the folder would be")
    shop.kept(WORDS).put("key", VALUE)
    assert shop.kept(WORDS).get("key") is None
