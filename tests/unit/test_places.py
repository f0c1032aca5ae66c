"""Tests of several runs on one machine get nothing of each other's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import places
import ports
import pytest
import users

HAS = "import json, ports, users; print(json.dumps([users.PLACE, users.APPS, users.RUNS, users.BUILDS, *ports.APPS]))"
STAYS = f"{HAS}; import sys; sys.stdout.flush(); sys.stdin.read()"
OURS = [users.PLACE, users.APPS, users.RUNS, users.BUILDS, *ports.APPS]


def started(code: str, **env: str) -> subprocess.Popen[str]:
    """Another process that loads what tests load."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(places.__file__).parent)} | env
    return subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_two_runs_have_no_port_and_no_user_in_common() -> None:
    with started(STAYS) as one, started(STAYS) as other:
        assert one.stdout
        assert other.stdout
        found = [OURS, json.loads(one.stdout.readline()), json.loads(other.stdout.readline())]
        one.communicate()
        other.communicate()
    assert all(len(set(values)) == 3 for values in zip(*found, strict=True)), found


def test_a_bench_stays_in_its_place() -> None:
    clone = str(Path(places.__file__).parents[1])
    code = f"import json, sys; sys.path.insert(0, {clone!r}); from tests.bench import scale as s"
    code += "; print(json.dumps([s.FEW_SHARE, s.MANY_SHARE, s.MOST_APPS, s.MOST_RUNNING]))"
    with started(code, GITPAAS_TESTS_PLACE=str(users.PLACE)) as bench:
        said = bench.communicate()[0]
    (few_uid, few_first, few_last), (many_uid, many_first, many_last), most_apps, most_running = json.loads(said)
    assert users.APPS <= few_uid < many_uid - 20 < many_uid + most_apps < users.APPS + 10_000
    assert ports.APPS[0] <= few_first < few_last < many_first < many_last <= ports.APPS[1]
    assert many_last - many_first > most_running


def test_a_program_of_a_test_is_where_the_test_is() -> None:
    with started(HAS, GITPAAS_TESTS_PLACE=os.environ["GITPAAS_TESTS_PLACE"]) as child:
        assert json.loads(child.communicate()[0]) == OURS


def test_no_place_reaches_into_the_next_or_into_the_kernels_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "_taken", set())
    slots = [users.slot() for _ in range(users._SLOTS)]
    assert {slot // users._SLOTS for slot in slots} == {users.PLACE}
    assert len(set(slots)) == users._SLOTS
    with pytest.raises(AssertionError, match="servers already"):
        users.slot()
    users.give_back(slots[2])
    assert users.slot() == slots[2]
    last = 20_099 + 100 * (places.COUNT * users._SLOTS - 1)
    assert 10_000 + 625 * places.COUNT <= 20_000 < last < places._DOORS[0] < places._DOORS[-1] < 30_000


def test_workers_of_one_run_have_places_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        f"import pathlib, users\ndef test(): pathlib.Path({str(tmp_path)!r}, f'has-{{users.PLACE}}').touch()\n"
    )
    with started(
        f"import pytest; raise SystemExit(pytest.main({['-pconftest', '-n2', '--dist=each', str(tmp_path)]}))"
    ) as run:
        said = run.communicate()[0]
    assert run.returncode == 0, said
    assert len(list(tmp_path.glob("has-*"))) == 2
