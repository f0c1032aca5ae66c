"""A new key under everything: old rows, changes at the same moment, processes that know the old key, kills."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from flow import ALICE, WEB, Flow
from instances import until

from gitpaas import deploy, releases
from gitpaas.apps import configvars
from gitpaas.apps.rekey import rekey
from gitpaas.errors import BadConfig
from gitpaas.store import ConfigVar, Release, Seal

STEPS = ["Seal.add_key", "rekey._close_again", "Seal.drop_old_keys", "Store.tidy"]
DIE = """
import gitpaas.apps.rekey as rekey
from gitpaas.store import Seal, Store
owner, name = {step!r}.split(".")
owner = dict(Seal=Seal, Store=Store, rekey=rekey)[owner]
real = getattr(owner, name)
def dies(*given, **more):
    if {when!r} == "after":
        real(*given, **more)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(5)
setattr(owner, name, dies)
rekey.rekey(flow.platform)
"""
WRITE = """
from gitpaas.apps import configvars
print("ready", flush=True)
for number in range({count}):
    configvars.change(flow.platform, flow.app, {{f"{name}_{{number}}": str(number)}})
    configvars.current(flow.platform, flow.app)
"""


def tokens_in_the_files(flow: Flow) -> list[str]:
    """Whatever looks like a sealed text in the database's files, deleted rows included."""
    home = flow.config.database.parent
    data = b"".join(path.read_bytes() for path in home.glob(f"{flow.config.database.name}*"))
    return [found.decode() for found in re.findall(rb"gAAAAA[A-Za-z0-9_-]{60,}=*", data)]


def opened_by(key: bytes, tokens: list[str], tmp_path: Path) -> list[str]:
    (tmp_path / "key").write_bytes(key)
    seal, opened = Seal(tmp_path / "key"), []
    for token in tokens:
        try:
            opened.append(seal.open(token))
        except BadConfig:
            continue
    return opened


def ended(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=100)
    return process.returncode


@pytest.fixture
def filled(flow: Flow) -> Flow:
    """With a release that has config vars, another value since, and one that was removed."""
    deploy.set_config(flow.platform, flow.app, {"TEXT": "one", "GONE": "x"}, ALICE, flow.out)
    flow.deploy()
    deploy.set_config(flow.platform, flow.app, {"TEXT": "two", "GONE": None}, ALICE, flow.out, restart=False)
    return flow


def test_the_old_key_opens_nothing_any_more_and_the_new_one_all(filled: Flow, tmp_path: Path) -> None:
    before = filled.config.secret_key.read_bytes()
    assert opened_by(before, tokens_in_the_files(filled), tmp_path) != []

    done = rekey(filled.platform)

    assert (done.values, done.releases, done.tidy) == (1, 1, True)
    assert filled.variables() == {"TEXT": "two"}
    assert filled.variables(filled.live)["TEXT"] == "one"
    assert opened_by(before, tokens_in_the_files(filled), tmp_path) == []
    after = filled.config.secret_key.read_bytes()
    assert len(opened_by(after, tokens_in_the_files(filled), tmp_path)) == 2
    assert filled.config.secret_key.stat().st_mode & 0o777 == 0o600


def test_a_row_that_was_read_before_still_serves(filled: Flow) -> None:
    # given a deploy that has its release in hand, while another process changes the key twice
    release = filled.live
    again = filled.process("from gitpaas.apps.rekey import rekey\nrekey(flow.platform)\nrekey(flow.platform)")
    assert ended(again) == 0
    # when it starts an instance of it, and copies it
    spec = releases.spec(filled.platform, filled.app, release, "web", 1)
    copied = releases.bring_back(filled.platform, filled.app, release, ALICE)
    # then both have what it was made with
    assert spec.env["TEXT"].reveal() == "one"
    assert filled.variables(Release.get_by_id(copied.id))["TEXT"] == "one"


def test_a_rollback_that_was_made_before_goes_live_with_its_config(filled: Flow) -> None:
    release = releases.bring_back(filled.platform, filled.app, filled.live, ALICE)
    again = filled.process("from gitpaas.apps.rekey import rekey\nrekey(flow.platform)\nrekey(flow.platform)")
    assert ended(again) == 0

    releases.bring_up_to_date(filled.platform, filled.app, release)

    assert filled.variables(Release.get_by_id(release.id))["TEXT"] == "one"


def test_a_push_under_way_goes_live_with_its_config(filled: Flow) -> None:
    slow = filled.commit(f"release: sleep 2\n{WEB}")
    pushing = filled.process(f"raise SystemExit(flow.push({slow!r}))")
    until(lambda: Release.select().count() == 2)
    rekey(filled.platform)

    assert ended(pushing) == 0
    assert filled.variables(filled.live)["TEXT"] == "two"


def test_changes_at_the_same_moment_are_not_lost(flow: Flow) -> None:
    writers = [flow.process(WRITE.format(name=name, count=60)) for name in "AB"]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
    for _ in range(8):
        rekey(flow.platform)

    assert [ended(writer) for writer in writers] == [0, 0]
    assert flow.variables() == {f"{name}_{number}": str(number) for name in "AB" for number in range(60)}
    assert len(flow.config.secret_key.read_text().split()) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_anywhere_all_opens_and_the_next_one_ends_it(filled: Flow, tmp_path: Path, step: str, when: str) -> None:
    before = filled.config.secret_key.read_bytes()
    dying = filled.process(DIE.format(step=step, when=when))
    assert ended(dying) == -signal.SIGKILL
    # then all opens, and a change is kept
    configvars.change(filled.platform, filled.app, {"MORE": "1"})
    assert filled.variables() == {"TEXT": "two", "MORE": "1"}
    assert filled.variables(filled.live)["TEXT"] == "one"
    # and another one leaves a single key, which is not the old one
    assert rekey(filled.platform).tidy
    assert filled.variables() == {"TEXT": "two", "MORE": "1"}
    assert len(filled.config.secret_key.read_bytes().split()) == 1
    assert opened_by(before, tokens_in_the_files(filled), tmp_path) == []


def test_a_row_that_no_key_opens_changes_nothing(filled: Flow, tmp_path: Path) -> None:
    foreign = Seal(tmp_path / "foreign").close(json.dumps({}))
    ConfigVar.create(app=filled.app, name="FOREIGN", value=foreign)
    before = filled.config.secret_key.read_bytes()

    with pytest.raises(BadConfig):
        rekey(filled.platform)

    assert filled.config.secret_key.read_bytes() == before
    ConfigVar.delete().where(ConfigVar.name == "FOREIGN").execute()
    assert filled.variables() == {"TEXT": "two"}


def test_while_somebody_reads_the_old_texts_stay_in_the_files_and_it_says_so(filled: Flow) -> None:
    filled.platform.store._database.execute_sql("PRAGMA busy_timeout = 100")
    with closing(sqlite3.connect(filled.config.database)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM configvar").fetchall()
        assert not rekey(filled.platform).tidy
    assert rekey(filled.platform).tidy
    assert filled.variables() == {"TEXT": "two"}
