"""The records of the host runtime as files: what was read once, and what somebody else has done to them since."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from gitpaas.runtimes import records
from gitpaas.runtimes.records import Record, Records

WEB = Record(
    id="hello.v1.web.1.0f3a9c2e",
    app="hello",
    release=1,
    process="web",
    number=1,
    restarts=0,
    port=20000,
    started_at=100.0,
    boot="b",
    one_off=False,
    cgroup=None,
)
WORKER = replace(WEB, id="hello.v1.worker.1.77aa77aa", process="worker", port=None, started_at=50.0)


@pytest.fixture
def kept(tmp_path: Path) -> Records:
    made = Records(tmp_path / "instances")
    for record in (WEB, WORKER):
        os.close(made.add(record))
    return made


def test_all_come_oldest_first(kept: Records, tmp_path: Path) -> None:
    assert kept.all() == [WORKER, WEB]
    assert Records(tmp_path / "none").all() == []


def test_a_record_is_read_once(kept: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept.all()
    monkeypatch.setattr(records, "_load", lambda path: pytest.fail(f"{path} was read again"))
    assert kept.all() == before


def test_what_others_add_and_remove_is_seen_at_once(kept: Records, tmp_path: Path) -> None:
    kept.all()
    other = Records(tmp_path / "instances")
    clock = replace(WEB, id="hello.v1.clock.1.12345678", process="clock", started_at=200.0)
    os.close(other.add(clock))
    assert kept.all() == [WORKER, WEB, clock]
    other.remove(WEB)
    assert kept.all() == [WORKER, clock]
    assert kept.find(WEB.id) is None


def test_a_record_in_the_place_of_another_is_read_anew(kept: Records) -> None:
    kept.all()
    os.close(kept.add(replace(WEB, port=20001)))
    assert [record.port for record in kept.all()] == [None, 20001]


def test_what_is_no_record_is_passed_over(kept: Records, tmp_path: Path) -> None:
    (tmp_path / "instances" / "other.json").write_text("{}")
    (tmp_path / "instances" / "half.json").write_bytes(b'{"id": "\xff')
    assert kept.all() == [WORKER, WEB]
