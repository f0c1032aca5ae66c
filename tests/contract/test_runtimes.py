"""What every runtime must do. One more runtime is one more parameter of the fixture."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest
from instances import UID, Host, host, is_alive, output, python, until

from gitpaas import linux
from gitpaas.config import Config
from gitpaas.errors import CommandFailed, RuntimeFailed
from gitpaas.runtimes.host import HostRuntime
from gitpaas.values import Artifact, Secret

SERVER = python(
    "import http.server, os\n"
    "http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler)"
    ".serve_forever()"
)


@pytest.fixture(params=[pytest.param("confined", marks=pytest.mark.needs("sandbox")), "plain"])
def there(request: pytest.FixtureRequest, config: Config) -> Iterator[Host]:
    with host(config, UID if request.param == "confined" else None) as made:
        yield made


def test_a_started_instance_is_found_by_its_labels_from_anywhere(there: Host) -> None:
    started = there.start("sleep 60", release=12, process="worker", number=3, restarts=2)
    found = HostRuntime(there.config).running("demo")
    assert [(i.app, i.release, i.label, i.state, i.restarts) for i in found] == [("demo", 12, "worker.3", "running", 2)]
    assert found[0] == started
    assert there.runtime.running("other") == []
    assert abs(time.time() - started.started_at) < 5


def test_all_instances_oldest_first(there: Host) -> None:
    for number in (2, 1):
        there.start("sleep 60", number=number)
    there.start("sleep 60", app="other")
    assert [(i.app, i.label) for i in there.runtime.running()] == [
        ("demo", "web.2"),
        ("demo", "web.1"),
        ("other", "web.1"),
    ]


def test_one_that_listens_has_an_address_that_answers(there: Host) -> None:
    there.slug(index__html="hello")
    instance = there.start(SERVER, listens=True)

    def answer() -> bytes:
        try:
            with urllib.request.urlopen(f"http://{instance.address}/index.html", timeout=1) as response:
                return bytes(response.read())
        except OSError:
            return b""

    until(answer)
    assert answer() == b"hello"


def test_one_that_does_not_listen_has_neither_address_nor_port(there: Host) -> None:
    instance = there.start("echo port=$PORT; sleep 60")
    assert instance.address is None
    assert output(instance, "port=") == "port=\n"


def test_addresses_differ_even_for_simultaneous_starts(there: Host) -> None:
    addresses: list[str | None] = []
    threads = [
        threading.Thread(
            target=lambda n=n: addresses.append(
                HostRuntime(there.config).start(there.spec("sleep 60", number=n, listens=True)).address
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


def test_the_environment_is_the_apps_and_not_the_servers(there: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_SECRET", "s3cret")
    spec = there.spec(
        python("import json, os; print(json.dumps(dict(os.environ)))"),
        env={"KEY": Secret("a b\n'c'"), "LANG": "de_DE.UTF-8"},
    )
    artifact = Artifact(
        "slug",
        spec.artifact.reference,
        "slug",
        "",
        {},
        {"KEY": "default", "PATH": "/app/bin:/bin"},
        spec.artifact.mounts,
    )
    instance = there.start(spec.command, env=spec.env, artifact=artifact, release=3, listens=True)
    found = json.loads(output(instance, "\n"))
    assert found["KEY"] == "a b\n'c'"
    assert (found["LANG"], found["PATH"], found["USER"]) == ("de_DE.UTF-8", "/app/bin:/bin", "app")
    assert (found["GITPAAS_APP"], found["GITPAAS_RELEASE"], found["GITPAAS_PROCESS"]) == ("demo", "v3", "web.1")
    assert f"127.0.0.1:{found['PORT']}" == instance.address
    assert found["HOME"] == ("/app" if there.uid else spec.artifact.reference)
    assert "SERVER_SECRET" not in found
    assert not [name for name in found if name.startswith("GITPAAS_CARRIED")]


def test_a_preload_among_the_config_vars_acts_on_the_app_alone(there: Host) -> None:
    instance = there.start("echo started", env={"LD_PRELOAD": "/nowhere.so", "PYTHONHOME": "/nowhere"})
    text = output(there.ended(instance), "started")
    # The loader complains once: for the app's shell, and neither for the keeper nor for what makes the sandbox.
    assert text.count("nowhere") == 1


def test_output_and_errors_are_in_the_log_also_through_dev_stdout(there: Host) -> None:
    instance = there.start("echo one; echo two >&2; echo three >>/dev/stdout; echo four >>/dev/stderr; sleep 60")
    assert output(instance, "four") == "one\ntwo\nthree\nfour\n"


def test_a_log_that_its_writer_truncates_goes_on(there: Host) -> None:
    instance = there.start("echo one; echo two >/dev/stdout; echo three; sleep 60")
    assert output(instance, "three") == "two\nthree\n"


@pytest.mark.parametrize(
    ("command", "code"), [("exit 7", 7), ("true", 0), ("kill -KILL $$", 137), ("kill -TERM $$", 143), ("no-such", 127)]
)
def test_an_ended_instance_stays_with_its_exit_code_until_it_is_stopped(there: Host, command: str, code: int) -> None:
    instance = there.ended(there.start(command))
    assert instance.exit_code == code
    assert not instance.oom
    assert instance.exited_at is not None
    assert instance.exited_at >= instance.started_at
    there.runtime.stop(instance, grace=0)
    assert there.runtime.running() == []


def test_stop_lets_it_say_goodbye_and_keeps_its_log(there: Host) -> None:
    instance = there.start("trap 'sleep 0.2; echo goodbye; exit' TERM; echo up; while :; do sleep 0.05; done")
    output(instance, "up")
    there.runtime.stop(instance, grace=5)
    assert there.runtime.running() == []
    assert output(instance).endswith("goodbye\n")
    assert there.traces() == []


def test_stop_of_one_that_ignores_sigterm_takes_the_grace_and_no_longer(there: Host) -> None:
    instance = there.start("trap '' TERM; echo $$; while :; do sleep 0.05; done")
    pid = int(output(instance, "\n"))
    start = time.monotonic()
    there.runtime.stop(instance, grace=0.5)
    assert 0.5 <= time.monotonic() - start < 3
    assert not is_alive(pid)


def test_stop_reaches_what_it_forked_and_what_went_into_a_session_of_its_own(there: Host) -> None:
    daemon = python(
        "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: print(os.getpid()); time.sleep(60)"
    )
    instance = there.start(f"sleep 60 & echo $!; ({daemon}); sleep 60")
    until(lambda: output(instance).count("\n") == 2)
    pids = [int(line) for line in output(instance).split()]
    assert all(is_alive(pid) for pid in pids)
    there.runtime.stop(instance, grace=1)
    assert not any(is_alive(pid) for pid in pids)


def test_stop_of_an_ended_one_reaches_what_it_left_behind(there: Host) -> None:
    instance = there.start("setsid sleep 60 & echo $!")
    pid = int(output(there.ended(instance), "\n"))
    assert is_alive(pid)
    there.runtime.stop(instance, grace=0)
    assert not is_alive(pid)


def test_stop_again_or_from_two_threads_is_fine(there: Host) -> None:
    instance = there.start("sleep 60")
    threads = [threading.Thread(target=there.runtime.stop, args=(instance, 1)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    there.runtime.stop(instance, grace=1)
    assert there.runtime.running() == []


def test_a_start_that_fails_says_why_and_leaves_nothing(there: Host) -> None:
    spec = there.spec("sleep 60")
    gone = Artifact("slug", str(there.slugs / "gone"), "slug", "", {})
    with pytest.raises(RuntimeFailed, match="No such file or directory"):
        there.start("sleep 60", artifact=gone, listens=True)
    assert there.runtime.running() == []
    assert there.traces() == []
    assert spec.artifact != gone


def test_a_one_off_gives_its_lines_live_and_its_code(there: Host) -> None:
    lines: list[tuple[str, float]] = []
    spec = there.spec("echo $GREETING $HOME; sleep 0.5; echo two; exit 3", env={"GREETING": "hi"}, process="release")
    code = there.runtime.run(spec, lambda line: lines.append((line, time.monotonic())), timeout=10)
    home = "/app" if there.uid else spec.artifact.reference
    assert (code, [line for line, _ in lines]) == (3, [f"hi {home}", "two"])
    assert lines[1][1] - lines[0][1] > 0.3
    assert there.traces() == []


def test_a_one_off_that_takes_too_long_leaves_nothing_running(there: Host) -> None:
    lines: list[str] = []
    spec = there.spec("setsid sleep 60 & echo $!; sleep 60", process="release")
    with pytest.raises(CommandFailed, match=r"`setsid .*` took longer than 0\.6 seconds") as caught:
        there.runtime.run(spec, lines.append, timeout=0.6)
    assert caught.value.code == 124
    assert not is_alive(int(lines[0]))
    assert there.traces() == []


def test_a_one_off_is_no_instance(there: Host) -> None:
    seen: list[int] = []
    there.runtime.run(there.spec("echo now"), lambda _: seen.append(len(there.runtime.running())), timeout=10)
    assert seen == [0]


def test_waiting_ends_when_an_instance_does(there: Host) -> None:
    there.start("sleep 60", number=2)
    instance = there.start("sleep 0.4; exit 5")
    start = time.monotonic()
    assert there.runtime.wait_for_exit(10)
    assert time.monotonic() - start < 2
    assert there.now(instance).exit_code == 5
    assert not there.runtime.wait_for_exit(0.05), "what has been told is not told again"


def test_what_ended_before_the_wait_is_told_too(there: Host) -> None:
    there.ended(there.start("true"))
    assert there.runtime.wait_for_exit(10)


def test_waiting_can_be_ended_from_another_thread(there: Host) -> None:
    timer = threading.Timer(0.1, there.runtime.wake)
    timer.start()
    start = time.monotonic()
    assert not there.runtime.wait_for_exit(10)
    assert time.monotonic() - start < 2
    timer.join()
    assert not there.runtime.wait_for_exit(0.05)


def test_what_is_missing_is_told_in_sentences(there: Host) -> None:
    missing = there.runtime.missing()
    assert all(line.endswith(".") for line in missing)
    assert bool(missing) == (not linux.can_confine() or linux.cgroup_version() is None)


def test_limits_that_are_missing_are_told(there: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux, "cgroup_version", lambda: None)
    for confined in (True, False):
        monkeypatch.setattr(linux, "can_confine", lambda answer=confined: answer)
        text = " ".join(there.runtime.missing())
        assert "may take twice the memory" in text
        assert ("not limited" in text) is not confined
