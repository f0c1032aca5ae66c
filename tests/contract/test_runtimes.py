"""What every runtime must do. One more runtime is one more parameter of the fixture."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest
from containers import docker
from instances import MEGABYTE, UID, Host, Sleeper, There, host, output, until

from gitpaas.config import Config
from gitpaas.errors import CommandFailed, RuntimeFailed
from gitpaas.names import PROVIDED
from gitpaas.values import Exit, Instance, RunOptions, Secret, VolumeMount


@pytest.fixture(
    params=[
        pytest.param("confined", marks=pytest.mark.needs("sandbox")),
        "plain",
        pytest.param("docker", marks=pytest.mark.needs("docker")),
    ]
)
def there(request: pytest.FixtureRequest, config: Config) -> Iterator[There]:
    places = {
        "confined": lambda: host(config, UID),
        "plain": lambda: host(config, None),
        "docker": lambda: docker(config),
    }
    with places[request.param]() as made:
        yield made


def test_a_started_instance_is_found_by_its_labels_from_anywhere(there: There) -> None:
    started = there.start("sleep 60", release=12, process="worker", number=3, restarts=2)
    found = there.again().running("demo")
    assert [(i.app, i.release, i.label, i.state, i.restarts) for i in found] == [("demo", 12, "worker.3", "running", 2)]
    assert found[0] == started
    assert there.runtime.running("other") == []
    assert abs(time.time() - started.started_at) < 60


def test_an_instance_that_runs_a_one_off_command_says_which(there: There) -> None:
    there.start("sleep 60", number=2)
    there.start("exit 7", process="run", number=12, one_off=34)
    until(
        lambda: (
            {i.label: (i.one_off, i.exit_code) for i in there.again().running()}
            == {"web.2": (None, None), "run.12": (34, 7)}
        )
    )


def test_a_survey_of_all_that_can_be_seen(there: There) -> None:
    started = there.start("sleep 60")
    assert there.runtime.survey().instances == (started,)
    assert there.runtime.survey("other").instances == ()
    assert not there.runtime.survey().unseen


def test_all_instances_oldest_first(there: There) -> None:
    for number in (2, 1):
        there.start("sleep 60", number=number)
    there.start("sleep 60", app="other")
    assert [(i.app, i.label) for i in there.runtime.running()] == [
        ("demo", "web.2"),
        ("demo", "web.1"),
        ("other", "web.1"),
    ]


def test_one_that_listens_can_be_reached(there: There) -> None:
    instance = there.start(there.server("hello"), listens=True)
    until(lambda: answer(there, instance) == b"hello")
    assert there.runtime.reach(instance).address == instance.address == there.now(instance).address


def answer(there: There, instance: Instance) -> bytes:
    reach = there.runtime.reach(instance)
    if not reach.ready:
        return b""
    try:
        with urllib.request.urlopen(f"http://{reach.address}/", timeout=5) as response:
            return bytes(response.read())
    except OSError:
        return b""


def test_one_that_does_not_listen_has_neither_address_nor_port(there: There) -> None:
    instance = there.start("echo port=$PORT; sleep 60")
    assert instance.address is None
    assert there.runtime.reach(instance).address is None
    assert output(instance, "port=") == "port=\n"


def test_addresses_differ_even_for_simultaneous_starts(there: There) -> None:
    addresses: list[str | None] = []
    threads = [
        threading.Thread(
            target=lambda n=n: addresses.append(
                there.again().start(there.spec("sleep 60", number=n, listens=True)).address
            )
        )
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(addresses) == 6
    assert len(set(addresses)) == 6


def test_an_address_is_not_given_again_at_once(there: There) -> None:
    addresses = set()
    for _ in range(4):  # by chance it may be the same one twice
        instance = there.start("sleep 60", listens=True)
        there.runtime.stop(instance, grace=0)
        addresses.add(instance.address)
    assert len(addresses) > 1


def test_the_environment_is_the_apps_and_not_the_servers(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_SECRET", "s3cret")
    artifact = replace(there.artifact(), env={"KEY": "default", "BUILT": "yes", "GITPAAS_APP": "?"})
    code = there.python("import json, os; print(json.dumps(dict(os.environ)))")
    env = {"KEY": Secret("a b\n'c'"), "LANG": "de_DE.UTF-8"}
    platforms = {"release": 3, "commit": "abc123", "url": "http://demo.localhost:8080"}
    instance = there.start(code, env=env, artifact=artifact, listens=True, **platforms)
    found = json.loads(output(instance, "\n"))
    assert (found["KEY"], found["BUILT"], found["LANG"]) == ("a b\n'c'", "yes", "de_DE.UTF-8")
    assert (found["GITPAAS_APP"], found["GITPAAS_RELEASE"], found["GITPAAS_PROCESS"]) == ("demo", "v3", "web.1")
    assert (found["GITPAAS_COMMIT"], found["GITPAAS_URL"]) == ("abc123", "http://demo.localhost:8080")
    assert PROVIDED.keys() - {"GITPAAS_CRON"} <= found.keys()
    assert str(instance.address).endswith(f":{found['PORT']}")
    assert found["HOME"]
    assert found["PATH"]
    assert "SERVER_SECRET" not in found


def test_output_and_errors_are_in_the_log_also_through_dev_stdout(there: There) -> None:
    instance = there.start("echo one; echo two >&2; echo three >>/dev/stdout; echo four >>/dev/stderr; sleep 60")
    until(lambda: output(instance).count("\n") == 4)
    assert sorted(output(instance).splitlines()) == ["four", "one", "three", "two"]


def test_its_last_lines_are_there_at_once_and_when_it_has_ended(there: There) -> None:
    instance = there.start("echo one; echo two; echo three; sleep 60")
    output(instance, "three")
    assert there.runtime.output(instance, 2) == ("two", "three")
    crashed = there.ended(there.start("echo out of luck; exit 1", number=2))
    assert there.again().output(crashed, 5) == ("out of luck",)
    there.runtime.stop(crashed, grace=0)
    assert output(crashed) == "out of luck\n"
    assert there.runtime.output(crashed, 5) == ("out of luck",)


@pytest.mark.parametrize(
    ("command", "code"), [("exit 7", 7), ("true", 0), ("kill -KILL $$", 137), ("kill -TERM $$", 143), ("no-such", 127)]
)
def test_an_ended_instance_stays_with_its_exit_code_until_it_is_stopped(there: There, command: str, code: int) -> None:
    instance = there.ended(there.start(command))
    assert instance.exit_code == code
    assert not instance.oom
    assert instance.exited_at is not None
    assert instance.exited_at >= instance.started_at
    there.runtime.stop(instance, grace=0)
    assert there.runtime.running() == []


def test_stop_lets_it_say_goodbye_and_keeps_its_log(there: There) -> None:
    instance = there.start("trap 'sleep 0.2; echo goodbye; exit' TERM; echo up; while :; do sleep 0.05; done")
    output(instance, "up")
    there.runtime.stop(instance, grace=60)
    assert there.runtime.running() == []
    assert output(instance).endswith("goodbye\n")
    assert there.traces() == []


def test_stop_of_one_that_ignores_sigterm_takes_the_grace_and_no_longer(there: There) -> None:
    sleeper = Sleeper()
    instance = there.start(f"trap '' TERM; echo up; {sleeper} & while :; do sleep 0.05; done")
    output(instance, "up")
    start = time.monotonic()
    there.runtime.stop(instance, grace=1)
    assert 1 <= time.monotonic() - start < 120
    assert not sleeper.is_alive


def test_stop_reaches_what_it_forked_and_what_went_into_a_session_of_its_own(there: There) -> None:
    child, stranger = Sleeper(), Sleeper()
    instance = there.start(f"{child} & setsid sh -c '{stranger} & {stranger}' & sleep 60")
    until(lambda: child.is_alive and stranger.is_alive)
    there.runtime.stop(instance, grace=1)
    assert not child.is_alive
    assert not stranger.is_alive


def test_stop_of_an_ended_one_reaches_what_it_left_behind(there: There) -> None:
    sleeper = Sleeper()
    instance = there.ended(there.start(f"setsid {sleeper} & sleep 0.2"))
    there.runtime.stop(instance, grace=0)
    assert not sleeper.is_alive


def test_stop_again_or_from_two_threads_is_fine(there: There) -> None:
    instance = there.start("sleep 60")
    threads = [threading.Thread(target=there.runtime.stop, args=(instance, 1)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    there.runtime.stop(instance, grace=1)
    assert there.runtime.running() == []


def test_a_start_that_fails_says_why_and_leaves_nothing(there: There) -> None:
    with pytest.raises(RuntimeFailed, match=r"No such file or directory|is gone"):
        there.start("sleep 60", artifact=there.gone(), listens=True)
    assert there.runtime.running() == []
    assert there.traces() == []


def test_a_one_off_gives_its_lines_live_and_its_code(there: There) -> None:
    sleeper, lines = Sleeper(), list[str]()
    command = f"echo $GREETING; {{ {sleeper}; }} 2>/dev/null; echo two >&2; exit 3"

    def hear(line: str) -> None:
        lines.append(line)
        if line == "hi":
            sleeper.end()  # it would sleep on, if we had not heard of it by now

    code = there.runtime.run(there.spec(command, env={"GREETING": "hi"}, process="release"), hear, timeout=100)
    assert (code, lines) == (3, ["hi", "two"])
    assert there.traces() == []


def test_a_one_off_that_takes_too_long_leaves_nothing_running(there: There) -> None:
    sleeper, lines = Sleeper(), list[str]()
    spec = there.spec(f"setsid {sleeper} & echo up; sleep 60", process="release")
    with pytest.raises(CommandFailed, match=r"`setsid .*` took longer than 4 seconds") as caught:
        there.runtime.run(spec, lines.append, timeout=4)
    assert caught.value.code == 124
    assert lines in (["up"], [])  # a busy machine may not have come that far
    assert not sleeper.is_alive
    assert there.traces() == []


def test_a_one_off_is_no_instance(there: There) -> None:
    seen: list[int] = []
    there.runtime.run(there.spec("echo now"), lambda _: seen.append(len(there.runtime.running())), timeout=60)
    assert seen == [0]


def test_waiting_ends_when_an_instance_does(there: There) -> None:
    there.start("sleep 600", number=2)
    instance = there.start("sleep 0.4; exit 5")
    start = time.monotonic()
    assert there.runtime.wait_for_exit(100)
    assert time.monotonic() - start < 60
    assert there.now(instance).exit_code == 5
    assert not there.runtime.wait_for_exit(0.05), "what has been told is not told again"


def test_what_ended_before_the_wait_is_told_too(there: There) -> None:
    there.ended(there.start("true"))
    assert there.runtime.wait_for_exit(60)


def test_waiting_can_be_ended_from_another_thread(there: There) -> None:
    timer = threading.Timer(0.1, there.runtime.wake)
    timer.start()
    start = time.monotonic()
    assert not there.runtime.wait_for_exit(100)
    assert time.monotonic() - start < 60
    timer.join()
    assert not there.runtime.wait_for_exit(0.05)


def test_storage_outlives_its_instances_until_the_app_is_forgotten(there: There) -> None:
    volumes = (VolumeMount("data", "/data"), VolumeMount("more", "/srv/more"))
    write, read = "echo kept >/data/file; echo too >/srv/more/file", "cat /data/file /srv/more/file"
    if is_refused(there, volumes=volumes):
        return
    assert there.said(write, volumes=volumes, release=1) == ""
    assert there.said(read, volumes=volumes, release=2) == "kept\ntoo\n"
    assert "No such file" in there.said("cat /data/file", volumes=volumes[:1], app="other")
    there.runtime.forget("demo")
    there.runtime.forget("demo")
    assert "No such file" in there.said("cat /data/file", volumes=volumes, release=3)


def test_storage_is_listed_with_or_without_instances_and_removed_one_by_one(there: There) -> None:
    volumes = (VolumeMount("data", "/data"), VolumeMount("more", "/srv/more"))
    assert there.runtime.volumes("demo") == []
    there.runtime.remove_volume("demo", "data")
    if is_refused(there, volumes=volumes):
        return
    there.said("echo kept >/data/file; echo too >/srv/more/file", volumes=volumes)
    assert there.again().volumes("demo") == ["data", "more"]
    assert there.runtime.volumes("other") == []
    there.runtime.remove_volume("demo", "data")
    assert there.runtime.volumes("demo") == ["more"]
    assert "too\n" in there.said("cat /data/file /srv/more/file", volumes=volumes)


def test_storage_that_no_instance_has_can_be_removed(there: There) -> None:
    volumes = (VolumeMount("data", "/data"), VolumeMount("more", "/srv/more"))
    if is_refused(there, volumes=volumes):
        return
    assert there.runtime.volumes("demo") == []
    there.said("echo kept >/data/file", volumes=volumes)
    assert there.runtime.volumes("demo") == ["data", "more"]
    assert there.runtime.volumes("other") == []
    there.runtime.remove_volume("demo", "data")
    there.runtime.remove_volume("demo", "data")
    assert there.runtime.volumes("demo") == ["more"]
    assert "No such file" in there.said("cat /data/file", volumes=volumes, release=2)


def test_where_nothing_may_be_written_tmp_and_storage_still_can(there: There) -> None:
    volumes, options = (VolumeMount("data", "/data"),), RunOptions(read_only=True)
    if is_refused(there, volumes=volumes, options=options):
        return
    there.said("true", volumes=volumes)
    command = "pwd; touch here; touch /usr/x; touch /tmp/x && touch /data/x && echo fine"
    text = there.said(command, volumes=volumes, options=options)
    assert text.count("Read-only file system") == 2
    assert "fine" in text.splitlines()


def is_refused(there: There, **values: object) -> bool:
    """A process without a sandbox can have neither, and that is said before anything starts."""
    if not isinstance(there, Host) or there.uid is not None:
        return False
    with pytest.raises(RuntimeFailed, match="without a sandbox"):
        there.start("true", **values)
    assert there.traces() == []
    return True


def test_what_is_missing_is_told_in_sentences(there: There) -> None:
    assert all(line.endswith(".") for line in there.runtime.missing())


def test_what_an_instance_takes(there: There) -> None:
    busy = there.start(there.python(f"data = bytearray({40 * MEGABYTE})\nfor n in range(10**12): pass"))
    idle = there.start("echo up; sleep 600", number=2)
    output(idle, "up")
    until(lambda: busy.id in there.runtime.usage([busy]))
    until(lambda: there.runtime.usage([busy])[busy.id].memory >= 40 * MEGABYTE)
    began = time.monotonic()
    first = there.again().usage([busy, idle])
    until(lambda: there.runtime.usage([busy])[busy.id].cpu >= first[busy.id].cpu + 0.2)
    second = there.runtime.usage([busy, idle])
    assert first.keys() == second.keys() == {busy.id, idle.id}
    assert 0.2 <= second[busy.id].cpu - first[busy.id].cpu <= time.monotonic() - began + 0.1
    assert began < first[busy.id].at < second[busy.id].at
    assert 40 * MEGABYTE <= second[busy.id].memory <= 256 * MEGABYTE
    assert second[idle.id].cpu - first[idle.id].cpu < 0.1
    assert 0 < second[idle.id].memory < 20 * MEGABYTE


def test_what_has_ended_takes_nothing(there: There) -> None:
    instance = there.ended(there.start("true"))
    assert there.runtime.usage([instance]) == {}
    there.runtime.stop(instance, grace=0)
    assert there.runtime.usage([instance]) == {}


@pytest.mark.parametrize("last", [None, Exit(137, True, 12.5), Exit(None)])
def test_how_the_one_before_ended_is_remembered(there: There, last: Exit | None) -> None:
    started = there.start("exit 3", last_exit=last)
    assert started.last_exit == last
    ended = there.again().running("demo")[0]
    assert ended.last_exit == last
    until(lambda: there.now(started).exit is not None)
    assert there.now(started).exit == Exit(3, False, there.now(started).exited_at)
