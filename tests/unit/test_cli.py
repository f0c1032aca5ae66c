"""The console script, run as people run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gitpaas.config import Config
from gitpaas.logs import Collector, platform_line
from gitpaas.values import Survey


class Shell:
    """A shell in which GITPAAS_HOME is set."""

    def __init__(self, home: Path) -> None:
        self.env = {"GITPAAS_HOME": str(home), "PATH": os.environ["PATH"]}

    def command(self, *argv: str) -> list[str]:
        return [sys.executable, "-W", "error", "-m", "gitpaas", *argv]

    def __call__(self, *argv: str, **more: Any) -> subprocess.CompletedProcess[str]:
        given: dict[str, Any] = {"env": self.env, "capture_output": True, "text": True, "timeout": 30}
        return subprocess.run(self.command(*argv), **(given | more))


@pytest.fixture
def shell(config: Config) -> Shell:
    return Shell(config.home)


def test_init_makes_what_a_server_needs_and_says_what_comes_next(shell: Shell, config: Config) -> None:
    done = shell("init")

    assert (done.returncode, done.stderr) == (0, "")
    assert "gitpaas keys:add NAME" in done.stdout
    assert config.home.stat().st_mode & 0o777 == 0o700
    assert config.host_key.stat().st_mode & 0o777 == 0o600
    assert config.database.exists()
    fingerprint = config.host_key.read_bytes()
    assert shell("init").returncode == 0
    assert config.host_key.read_bytes() == fingerprint


def test_a_key_can_be_added_before_the_server_ever_ran(shell: Shell) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@laptop"

    assert shell("keys:add", "laptop", "-", input=key).returncode == 0
    assert '"role": "admin"' in shell("keys", "--format", "json").stdout


def test_nothing_typed_is_a_question_for_help(shell: Shell, config: Config) -> None:
    done = shell()

    assert done.returncode == 0
    assert "apps:create" in done.stdout
    assert not config.home.exists(), "help makes no state directory"


def test_errors_go_to_stderr_with_their_exit_code(shell: Shell) -> None:
    done = shell("lgos")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == " !     There is no command 'lgos'.\n !     Did you mean logs?\n"


def test_a_setting_that_is_off_is_named(shell: Shell) -> None:
    shell.env["GITPAAS_SSH_PORT"] = "many"
    done = shell("apps")

    assert done.returncode == 1
    assert done.stderr == " !     GITPAAS_SSH_PORT: 'many' is not a whole number\n"


def test_a_state_directory_that_cannot_be_made_is_one_line(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shell.env["GITPAAS_HOME"] = str(tmp_path / "file" / "home")
    done = shell("apps")

    assert done.returncode == 1
    assert done.stderr.startswith(" !     ")
    assert "Traceback" not in done.stderr


def test_a_database_that_is_rubbish_is_one_line(shell: Shell, config: Config) -> None:
    shell("init")
    config.database.write_bytes(b"this is no database" * 100)
    done = shell("apps")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_a_closed_pipe_is_quiet(shell: Shell) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" | true', "sh", *shell.command("help")], env=shell.env, capture_output=True, check=True
    )

    assert done.stderr == b""


def test_following_a_log_ends_when_the_pipe_closes(shell: Shell, config: Config) -> None:
    shell("apps:create", "hello")
    platform_line(config, "hello", "one")
    Collector(config, lambda: Survey(())).collect_once()
    argv = ["sh", "-c", '"$@" | head -1', "sh", *shell.command("logs", "hello", "-t")]
    done = subprocess.run(argv, env=shell.env, capture_output=True, check=True, timeout=100)

    assert done.stdout.endswith(b"gitpaas - one\n")
    assert done.stderr == b""


def test_ctrl_c_is_130_without_a_word(shell: Shell, config: Config) -> None:
    shell("apps:create", "hello")
    platform_line(config, "hello", "one")
    Collector(config, lambda: Survey(())).collect_once()
    with subprocess.Popen(
        shell.command("logs", "hello", "-t"), env=shell.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)

    assert (child.returncode, err) == (130, b"")


def test_a_server_that_nobody_has_asked_for_anything_holds_no_commands_but_its_own() -> None:
    code = (
        "import sys; from gitpaas import cli, serve; from gitpaas.ssh import server\n"
        "from gitpaas.commands import known\n"
        "print([str(one.name) for one in known(['serve'])][0])\n"
        "print([name for name in ('ps', 'apps', 'every') if f'gitpaas.commands.{name}' in sys.modules])\n"
        "print(len(known(['ps'])) > 50)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "serve\n[]\nTrue\n"
