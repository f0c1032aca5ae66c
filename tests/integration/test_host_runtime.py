"""What only plain processes do: their environment from nothing, their own log files, limits without an engine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from instances import MEGABYTE, UID, Host, host, output, own_uid, python, until
from ports import free_port

from gitpaas import linux
from gitpaas.config import Config
from gitpaas.errors import RuntimeFailed


@pytest.fixture(params=[pytest.param("confined", marks=pytest.mark.needs("sandbox")), "plain"])
def there(request: pytest.FixtureRequest, config: Config) -> Iterator[Host]:
    with host(config, UID if request.param == "confined" else None) as made:
        yield made


def test_the_environment_has_what_every_program_expects(there: Host) -> None:
    artifact = replace(there.artifact(), env={"PATH": "/app/bin:/bin"})
    instance = there.start(there.python("import json, os; print(json.dumps(dict(os.environ)))"), artifact=artifact)
    found = json.loads(output(instance, "\n"))
    assert (found["LANG"], found["PATH"], found["USER"]) == ("C.UTF-8", "/app/bin:/bin", "app")
    assert found["HOME"] == ("/app" if there.uid else artifact.reference)
    assert not [name for name in found if name.startswith("GITPAAS_CARRIED")]


def test_a_preload_among_the_config_vars_acts_on_the_app_alone(there: Host) -> None:
    instance = there.start("echo started", env={"LD_PRELOAD": "/nowhere.so", "PYTHONHOME": "/nowhere"})
    text = output(there.ended(instance), "started")
    # The loader complains once: for the app's shell, and neither for the keeper nor for what makes the sandbox.
    assert text.count("nowhere") == 1


def test_output_and_errors_are_in_the_log_in_their_order(there: Host) -> None:
    instance = there.start("echo one; echo two >&2; echo three >>/dev/stdout; echo four >>/dev/stderr; sleep 60")
    assert output(instance, "four") == "one\ntwo\nthree\nfour\n"


def test_a_log_that_its_writer_truncates_goes_on(there: Host) -> None:
    instance = there.start("echo one; echo two >/dev/stdout; echo three; sleep 60")
    assert output(instance, "three") == "two\nthree\n"


def test_one_that_listens_elsewhere_is_seen_to_do_so(there: Host) -> None:
    other = free_port()
    listen = f"import socket, time; s = socket.create_server(('127.0.0.1', {other})); time.sleep(600)"
    instance = there.start(there.python(listen), listens=True)
    wanted = str(instance.address).rpartition(":")[2]
    note = f"it listens on 127.0.0.1:{other}, not on PORT, which is {wanted}"
    until(lambda: there.runtime.reach(instance).note == note)
    assert there.runtime.reach(instance).address == instance.address


def test_one_that_listens_on_its_port_has_nothing_noted(there: Host) -> None:
    other = free_port()
    listen = f"""
import os, socket, time
s = [socket.create_server(('127.0.0.1', port)) for port in ({other}, int(os.environ['PORT']))]
print('both', flush=True)
time.sleep(600)
"""
    instance = there.start(there.python(listen), listens=True)
    output(instance, "both")
    time.sleep(1.1)  # the first look comes after a second
    assert there.runtime.reach(instance).note == ""


def test_an_image_is_refused_in_words(there: Host) -> None:
    image = replace(there.artifact(), kind="image", reference="sha256:1")
    with pytest.raises(RuntimeFailed, match="v1 is an image, and this server runs plain processes"):
        there.start("true", artifact=image)
    with pytest.raises(RuntimeFailed, match="is an image"):
        there.runtime.run(there.spec("true", artifact=image), lambda _: None, timeout=1)


def test_what_is_missing_is_what_the_machine_lacks(there: Host) -> None:
    assert bool(there.runtime.missing()) == (not linux.can_confine() or linux.cgroup_version() is None)


def test_limits_that_are_missing_are_told(there: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux, "cgroup_version", lambda: None)
    for confined in (True, False):
        monkeypatch.setattr(linux, "can_confine", lambda answer=confined: answer)
        text = " ".join(there.runtime.missing())
        assert "may take twice the memory" in text
        assert ("not limited" in text) is not confined


def test_without_cgroups_the_processes_of_its_session_are_added_up(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitpaas.linux.hierarchies._place", lambda: None)
    with host(config, own_uid()) as there:
        child = python(f"data = bytearray({20 * MEGABYTE})\nfor n in range(10**12): pass")
        instance = there.start(f"({child}) & ({child}) & wait")
        until(lambda: there.runtime.usage([instance])[instance.id].memory >= 40 * MEGABYTE)
        until(lambda: there.runtime.usage([instance])[instance.id].cpu >= 0.1)
