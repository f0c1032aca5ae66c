"""Texts at rest: the key file, what stands for a text, and a change of keys."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from gitpaas.errors import BadConfig
from gitpaas.store import Seal


def test_a_foreign_key_file_is_told(tmp_path: Path) -> None:
    token = Seal(tmp_path / "one.key").close("value")
    assert Seal(tmp_path / "one.key").open(token) == "value"
    with pytest.raises(BadConfig, match=r"two\.key"):
        Seal(tmp_path / "two.key").open(token)


def test_a_digest_is_the_same_for_the_same_text_and_key_and_says_nothing_else(tmp_path: Path) -> None:
    ours, again, other = (Seal(tmp_path / name) for name in ("one.key", "one.key", "two.key"))
    assert ours.digest("text") == again.digest("text")
    assert len({ours.digest("text"), ours.digest("text "), other.digest("text")}) == 3
    assert ours.digest("text") != hashlib.sha256(b"text").hexdigest()


def test_key_that_two_make_at_once_is_one_and_whole(tmp_path: Path) -> None:
    seals = [Seal(tmp_path / "key") for _ in range(8)]
    tokens: list[str] = []
    threads = [threading.Thread(target=lambda seal=seal: tokens.append(seal.close("text"))) for seal in seals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {Seal(tmp_path / "key").open(token) for token in tokens} == {"text"}
    assert len(tokens) == 8
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_file_that_holds_no_key_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("rubbish")
    with pytest.raises(BadConfig, match="holds no key"):
        Seal(tmp_path / "key").close("text")


def test_while_keys_are_changed_both_open_and_the_new_one_closes(tmp_path: Path) -> None:
    # given a seal that knows the old key, and another process's
    ours, theirs = Seal(tmp_path / "key"), Seal(tmp_path / "key")
    before, old = ours.close("before"), (tmp_path / "key").read_bytes()
    # when the other one adds a key
    theirs.add_key()
    after = ours.close("after")
    # then both open both, and the old key alone no longer opens what is closed now
    assert [seal.open(token) for seal in (ours, theirs) for token in (before, after)] == ["before", "after"] * 2
    assert ours.has_old_keys
    (tmp_path / "old").write_bytes(old)
    with pytest.raises(BadConfig):
        Seal(tmp_path / "old").open(after)


def test_in_the_end_only_the_new_key_is_left(tmp_path: Path) -> None:
    seal = Seal(tmp_path / "key")
    before, digest = seal.close("text"), seal.digest("text")
    seal.add_key()
    after = seal.close("text")
    seal.drop_old_keys()

    fresh = Seal(tmp_path / "key")
    assert fresh.open(after) == "text"
    assert fresh.digest("text") != digest
    assert not fresh.has_old_keys
    with pytest.raises(BadConfig):
        fresh.open(before)


def test_the_file_stays_private_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    seal = Seal(tmp_path / "key")
    seal.close("text")
    (tmp_path / ".key.draft-of-one-who-was-killed").write_text("a key")
    seal.add_key()
    seal.drop_old_keys()

    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Seal(tmp_path / "elsewhere" / "key").close("text")
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere" / "key")

    Seal(tmp_path / "key").add_key()

    assert (tmp_path / "key").is_symlink()
    assert len((tmp_path / "elsewhere" / "key").read_text().split()) == 2
