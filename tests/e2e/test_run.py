"""run: one-off commands over a real ssh, as processes and in containers; and what is left of them: nothing."""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import engine
import pytest
from processes import with_arguments

from .conftest import RUNTIMES, _running_world, _short_directory
from .programs import run, wait_until
from .screens import screen
from .world import GITPAAS, AppRepo, World

pytestmark = [pytest.mark.needs("git", "ssh", "ssh-keygen"), pytest.mark.timeout(900)]

FULL_SCREEN = """
import os, signal, sys, termios, tty

def draw(*_):
    size = os.get_terminal_size()
    os.write(1, f"\\x1b[2J\\x1b[{size.lines};1H<{size.columns}x{size.lines} {os.environ['TERM']}>".encode())

before = termios.tcgetattr(0)
tty.setraw(0)
os.write(1, b"\\x1b[?1049h")
signal.signal(signal.SIGWINCH, draw)
draw()
while (key := os.read(0, 1)) != b"q":
    os.write(1, b"<key %d>" % ord(key))
os.write(1, b"\\x1b[?1049l")
termios.tcsetattr(0, termios.TCSADRAIN, before)
sys.exit(7)
"""
STAY = """
import signal, subprocess, sys
child = subprocess.Popen(["sleep", sys.argv[1]], start_new_session=True)
print("up", flush=True)
child.wait()
"""
NO_READER = 141
UNREAD = "ended: nobody reads its output any more\n"


@dataclass
class Place:
    world: World
    app: AppRepo

    def run(self, *words: str, options: tuple[str, ...] = (), **how: object) -> subprocess.CompletedProcess[bytes]:
        """`ssh paas run APP WORDS`, in bytes."""
        argv = ["ssh", "-F", str(self.world.ssh_config), *options, "paas", "run", self.app.name, *words]
        return subprocess.run(argv, env=self.world.env, capture_output=True, check=False, timeout=200, **how)  # type: ignore[call-overload,no-any-return]

    def ssh_argv(self, *words: str) -> list[str]:
        return ["ssh", "-tt", "-F", str(self.world.ssh_config), "paas", *words]

    def one_offs(self) -> list[dict[str, object]]:
        return list(self.world.ssh_json("ps", self.app.name)["one_offs"])

    def running(self) -> dict[str, int]:
        return dict(self.world.ssh_json("apps:info", self.app.name)["running"])

    def told(self) -> str:
        """The platform's own lines in the app's log."""
        return self.world.ssh("logs", self.app.name, "-p", "gitpaas", "-n", "10000").output

    def leaves_nothing(self, mark: str) -> None:
        """No process with this in its arguments, no one-off command, no trace of one."""
        wait_until(lambda: not with_arguments(mark), f"{mark} to end")
        wait_until(lambda: not self.one_offs(), "ps to be empty")
        wait_until(lambda: len(self.traces()) <= 1, "traces to go")

    def traces(self) -> list[str]:
        """Of all instances; web.1 has one."""
        if self.world.runtime == "docker":
            return [one["Names"][0] for one in engine.labelled("containers", self.world.identity)]
        return [path.name for path in (self.world.home / "run" / "scratch").iterdir()]


def mark() -> str:
    """The argument of a sleep like no other."""
    return f"600.{secrets.randbelow(10**10):010}"


@pytest.fixture(scope="module", params=RUNTIMES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    settings = {"RUNTIME": request.param, **(engine.settings() if request.param == "docker" else {})}
    with _short_directory() as root, _running_world(root, **settings) as world:
        app = world.new_app(world.site() | {"full_screen.py": FULL_SCREEN, "stay.py": STAY})
        app.deploy()
        assert world.gitpaas("config:set", app.name, "GREETING=hi there").code == 0
        made = Place(world, app)
        wait_until(lambda: made.running() == {"web": 1}, "the old instance to have drained")
        yield made


@pytest.fixture(autouse=True)
def nothing_of_it_stays(place: Place) -> Iterator[None]:
    """A command has ended for its client a moment before it has for the server, and the next test looks at all."""
    yield
    wait_until(lambda: not place.one_offs(), "ps to be empty")


def test_output_errors_and_exit_code_are_the_commands_own(place: Place) -> None:
    done = place.run("--", "sh", "-c", '"echo $GREETING; echo oops >&2; exit 7"')
    assert (done.returncode, done.stdout, done.stderr) == (7, b"hi there\n", b"oops\n")
    assert place.run("kill", "-TERM", "0").returncode == 143
    assert place.run("python3", "-c", "'print(1+1)'").stdout == b"2\n"
    assert place.run("-e", "GREETING=bye", "'echo $GREETING $GITPAAS_PROCESS | tr a-z A-Z'").stdout.startswith(
        b"BYE RUN."
    )
    wait_until(lambda: "exited with 7\n" in place.told() and "exited with 143\n" in place.told(), "both in the log")
    for words in (("/nowhere", "|", "wc"), ("/nowhere;", "id")):
        once = place.run("ls", *words)
        assert (once.returncode, b"quote it twice" in once.stderr) == (2, True)


def test_hundred_megabytes_from_a_pipe_arrive_whole(place: Place) -> None:
    block = secrets.token_bytes(1024 * 1024)
    wanted = hashlib.sha256()
    argv = ["ssh", "-F", str(place.world.ssh_config), "paas", "run", place.app.name, "--", "sha256sum"]
    with subprocess.Popen(argv, env=place.world.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        for _ in range(100):
            client.stdin.write(block)
            wanted.update(block)
        client.stdin.close()
        assert client.stdout.read().split()[0].decode() == wanted.hexdigest()
        assert client.wait() == 0


def test_hundred_megabytes_come_back_though_the_reader_is_slow(place: Place) -> None:
    code = "'import os; [os.write(1, bytes(65536)) for _ in range(1600)]'"
    argv = ["ssh", "-F", str(place.world.ssh_config), "paas", "run", place.app.name, "--", "python3", "-c", code]
    before = memory(place.world)
    with subprocess.Popen(argv, env=place.world.env, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        count = len(client.stdout.read(1))
        threading.Event().wait(2)
        assert memory(place.world) - before < 60 * 1024
        while data := client.stdout.read(1024 * 1024):
            count += len(data)
        assert client.wait() == 0
    assert count == 1600 * 65536


def memory(world: World) -> int:
    """Of the server, in kB."""
    assert world.process
    status = Path(f"/proc/{world.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_full_screen_program_is_resized_in_the_middle(place: Place) -> None:
    argv = place.ssh_argv("run", place.app.name, "python3", "full_screen.py")
    with screen(argv, place.world.env, 100, 30) as client:
        client.wait_for("<100x30 xterm-256color>")
        client.resize(140, 50)
        client.wait_for("<140x50 xterm-256color>")
        client.type("\x03")
        client.wait_for("<key 3>")
        client.resize(80, 24)
        client.wait_for("<80x24 xterm-256color>")
        client.type("q")
        assert client.end() == 7
    place.leaves_nothing("full_screen.py")


def test_shell_at_a_terminal_has_job_control_and_ctrl_c_is_the_programs(place: Place) -> None:
    argument = mark()
    with screen(place.ssh_argv("run", place.app.name, "bash"), place.world.env, 80, 24) as client:
        client.type("echo ready-$((40+2)); tty\n")
        assert "no job control" not in client.wait_for("ready-42")
        client.wait_for("/dev/")
        client.type(f"sleep {argument}\n")
        wait_until(lambda: bool(with_arguments(argument)), "the sleep")
        client.type("\x03")
        wait_until(lambda: not with_arguments(argument), "the sleep to end")
        client.type("echo still-$((40+2)); exit 3\n")
        client.wait_for("still-42")
        assert client.end() == 3
    place.leaves_nothing(argument)


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipes"])
def test_connection_that_is_cut_ends_the_command(place: Place, terminal: bool) -> None:
    argument, before = mark(), place.told().count("ended: the connection was lost\n")
    words = ("run", place.app.name, "python3", "stay.py", argument)
    if terminal:
        with screen(place.ssh_argv(*words), place.world.env, 80, 24) as client:
            client.wait_for("up")
            wait_until(lambda: bool(with_arguments(argument)), "the child")
            client.kill()
    else:
        piped = place.world.begin_ssh(*words)
        piped.wait_for("up")
        wait_until(lambda: bool(with_arguments(argument)), "the child")
        assert [one["name"] for one in place.one_offs()]
        piped.kill()
    place.leaves_nothing(argument)
    wait_until(lambda: place.told().count("ended: the connection was lost\n") > before, "a line in the log")


@pytest.mark.parametrize("options", [(), ("-tt",)], ids=["pipes", "terminal"])
def test_reader_that_has_enough_ends_the_command_as_in_a_pipeline_of_this_machine(
    place: Place, options: tuple[str, ...]
) -> None:
    argument, before = mark(), place.told().count(UNREAD)
    ssh = ["ssh", "-F", str(place.world.ssh_config), *options, "paas"]
    for argv in (ssh, [str(GITPAAS)]):
        with pipeline(place, [*argv, "run", place.app.name, "yes", argument]) as client:
            assert client.wait(60) == NO_READER
        place.leaves_nothing(argument)
    quiet = f"echo once; read go; echo twice; exec sleep {argument}"
    with pipeline(place, [*ssh, "run", place.app.name, f"'{quiet}'"]) as client:
        assert client.stdin
        client.stdin.write(b"go\n")
        client.stdin.flush()
        assert client.wait(60) == NO_READER
    place.leaves_nothing(argument)
    wait_until(lambda: place.told().count(UNREAD) == before + 3, "three lines in the log")


@contextmanager
def pipeline(place: Place, argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """argv | head -1, once head has ended."""
    with subprocess.Popen(argv, env=place.world.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout
        client.stdout.readline()
        client.stdout.close()
        try:
            yield client
        finally:
            client.kill()


def test_time_that_is_up_is_124_and_one_line(place: Place) -> None:
    argument = mark()
    words = ("run", place.app.name, "--timeout", "6", "--", "sh", "-c")  # a busy machine takes its time to begin
    done = place.world.ssh(*words, f"'echo begun; sleep {argument}'")
    here = place.world.gitpaas(*words, f"echo begun; sleep {argument}")
    for one in (done, here):
        assert (one.code, one.output) == (124, "begun\n"), one
        assert one.errors == " !     It took longer than 6 seconds and was ended.\n"
    place.leaves_nothing(argument)
    wait_until(lambda: place.told().count("ended: it took longer than 6 seconds\n") == 2, "both in the log")
    events = [event for event in place.world.ssh_json("events", place.app.name) if "than 6 seconds" in event["text"]]
    assert [event["result"] for event in events] == ["failed", "failed"]


@pytest.mark.parametrize("who", ["ssh", "ssh, stopped", "gitpaas"])
def test_time_is_up_for_who_takes_no_output(place: Place, who: str) -> None:
    argument, before = mark(), place.told()
    words = ("run", place.app.name, "--timeout", "3", "--", "sh", "-c")
    line = f"sleep {argument} & yes"
    over_ssh = ["ssh", "-F", str(place.world.ssh_config), "paas", *words, f"'{line}'"]
    argv = [str(GITPAAS), *words, line] if who == "gitpaas" else over_ssh
    quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(argv, env=place.world.env, stdout=subprocess.PIPE, **quiet) as client:
        assert client.stdout
        client.stdout.readline()
        if "stopped" in who:
            client.send_signal(signal.SIGSTOP)
        place.leaves_nothing(argument)
        wait_until(lambda: "ended: it took longer than 3 seconds\n" in place.told().removeprefix(before), "the log")
        client.send_signal(signal.SIGCONT)
        client.communicate(timeout=100)
    assert client.returncode == 124


def test_detached_command_goes_on_and_its_log_is_kept(place: Place) -> None:
    argument = mark()
    started = place.world.ssh("run", place.app.name, "--detach", "--", "sh", "-c", f"'echo begun; sleep {argument}; :'")
    assert started.code == 0, started
    name = started.output.split()[0]
    wait_until(lambda: "begun" in place.world.ssh("logs", place.app.name, "-p", name).output, "its output")
    assert [one["name"] for one in place.one_offs()] == [name]
    assert place.running() == {"web": 1}
    wait_until(lambda: bool(with_arguments(argument)), "the sleep")
    for pid in with_arguments(argument):
        os.kill(pid, signal.SIGKILL)
    place.leaves_nothing(argument)
    assert "begun" in place.world.ssh("logs", place.app.name, "-p", name).output
    wait_until(lambda: f"{name} exited with 0" in place.told(), "a line in the log")


def test_nothing_stays_when_the_server_is_killed(place: Place) -> None:
    attached, detached = mark(), mark()
    piped = place.world.begin_ssh("run", place.app.name, "python3", "stay.py", attached)
    piped.wait_for("up")
    name = place.world.ssh("run:detached", place.app.name, "sleep", detached).output.split()[0]
    wait_until(lambda: bool(with_arguments(attached) and with_arguments(detached)), "both")
    place.world.kill()
    assert with_arguments(detached)
    place.world.start()
    wait_until(lambda: not with_arguments(attached), "the attached one to end")
    assert [one["name"] for one in place.one_offs() if one["name"] == name]
    assert with_arguments(detached)
    assert place.world.ssh("run:stop", place.app.name, name).code == 0
    place.leaves_nothing(detached)


def test_server_that_ends_takes_attached_commands_along(place: Place) -> None:
    argument = mark()
    piped = place.world.begin_ssh("run", place.app.name, "python3", "stay.py", argument)
    piped.wait_for("up")
    wait_until(lambda: bool(with_arguments(argument)), "the child")
    place.world.stop()
    assert not with_arguments(argument)
    place.world.start()
    place.leaves_nothing(argument)


def test_run_on_the_machine_itself_is_exact_and_ends_with_it(place: Place) -> None:
    done = place.world.gitpaas(
        "run", place.app.name, "--", "python3", "-c", "import sys; print(sys.argv[1:])", "a  b", "$X"
    )
    assert (done.code, done.output) == (0, "['a  b', '$X']\n"), done
    argument = mark()
    with screen([str(GITPAAS), "run", place.app.name, "python3", "full_screen.py"], place.world.env, 90, 33) as client:
        client.wait_for("<90x33 xterm-256color>")
        client.resize(120, 44)
        client.wait_for("<120x44 xterm-256color>")
        client.type("q")
        assert client.end() == 7
    for number in (signal.SIGKILL, signal.SIGTERM):
        own = place.world.begin([str(GITPAAS), "run", place.app.name, "python3", "stay.py", argument])
        own.wait_for("up")
        wait_until(lambda: bool(with_arguments(argument)), "the child")
        os.kill(own.process.pid, number)
        own.process.wait(60)
        place.leaves_nothing(argument)


def test_shell_in_an_instance_that_runs_and_goes_on_when_it_is_cut(place: Place) -> None:
    argument = mark()
    done = place.world.ssh(
        "enter", place.app.name, "web.1", "--", "sh", "-c", "'echo $GITPAAS_PROCESS $GREETING; exit 6'"
    )
    assert (done.code, done.output) == (6, "web.1 hi there\n"), done
    with screen(place.ssh_argv("enter", place.app.name), place.world.env, 100, 30) as client:
        client.type("stty size; echo $TERM-$GITPAAS_PROCESS\n")
        client.wait_for("30 100")
        client.wait_for("xterm-256color-web.1")
        client.resize(120, 40)
        client.type('until [ "$(stty size)" = "40 120" ]; do sleep 0.1; done; echo resized-$((40+2))\n')
        client.wait_for("resized-42")
        client.type(f"setsid sleep {argument} & sleep {argument}\n")
        wait_until(lambda: len(with_arguments(argument)) == 2, "both of them")
        client.kill()
    place.leaves_nothing(argument)
    assert place.app.get().status == 200
    missing = place.world.ssh("enter", place.app.name, "web.7")
    assert (missing.code, "These do: web.1." in missing.errors) == (1, True)


def test_keys_that_may_only_read_neither_run_nor_enter(place: Place) -> None:
    key = place.world.new_key(f"reader-{secrets.randbelow(10**6)}", "--role", "read")
    for words in (
        ["run", place.app.name, "ls", "--help"],
        ["enter", place.app.name],
        ["run:detached", place.app.name, "ls"],
    ):
        done = run(
            ["ssh", "-F", str(place.world.ssh_config), "-i", str(key), "-o", "IdentitiesOnly=yes", "paas", *words],
            env=place.world.env,
        )
        assert done.code == 3, (words, done)
