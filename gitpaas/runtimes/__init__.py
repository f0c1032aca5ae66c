"""Runtimes run instances and find them again by their labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from gitpaas.output import Terminal
from gitpaas.values import Instance, InstanceSpec, Reach, Survey, Usage


class Attached(Protocol):
    """A program in the foreground, with somebody at its streams. One thread reads, one writes; the rest is for all."""

    id: str  # of its instance

    def read(self, timeout: float) -> tuple[int, bytes]:
        """What it wrote, and where: 1 output (and errors, at a terminal), 2 errors. Empty when it has ended or closed
        both. TimeoutError when nothing comes. Nobody reading holds it up."""

    def write(self, data: bytes) -> None:
        """To its standard input; waits until it is taken. BrokenPipeError when nobody reads there any more."""

    def end_input(self) -> None:
        """The end of its standard input; at a terminal as Ctrl-D."""

    def resize(self, columns: int, rows: int) -> None:
        """The size of its terminal. Nothing where there is none."""

    def send(self, number: int) -> None:
        """A signal: to what is in the terminal's foreground, or to the program. Over already is fine."""

    def wait(self, timeout: float) -> int:
        """Its exit code (128 + n for signal n). TimeoutError when it has not ended by then."""


class Runtime(Protocol):
    """What runs is found by labels alone; every call is safe to repeat, from any process on the machine."""

    name: str

    def start(self, spec: InstanceSpec) -> Instance:
        """Start one copy and return at once. RuntimeFailed when the platform cannot."""

    def stop(self, instance: Instance, grace: float) -> None:
        """SIGTERM, up to `grace` seconds, SIGKILL, then remove every trace but the log. Gone already is fine."""

    def running(self, app: str | None = None) -> list[Instance]:
        """All instances, ended ones that were not stopped included, oldest first.

        EngineFailed when they cannot all be seen: silence does not mean that nothing runs."""

    def survey(self, app: str | None = None) -> Survey:
        """The same for who can do with less: it says what it does not see."""

    def run(self, spec: InstanceSpec, on_line: Callable[[str], None], timeout: float) -> int:
        """A one-off copy in the foreground (release phase): its lines to `on_line`, its exit code back.

        CommandFailed after `timeout` seconds; nothing of it is left running then."""

    def open(self, spec: InstanceSpec, terminal: Terminal | None) -> AbstractContextManager[Attached]:
        """A one-off copy with its streams in the hands of the body; with `terminal` they are one, of that size. It is
        found by its labels meanwhile. After the body nothing of it is left: what still runs gets SIGHUP, the usual
        grace, SIGKILL. It ends as well when the process of the body does, at the latest when the server looks.

        RuntimeFailed when the platform cannot start it."""

    def enter(
        self, instance: Instance, spec: InstanceSpec, terminal: Terminal | None
    ) -> AbstractContextManager[Attached]:
        """`spec.command` as one more program in an instance that runs (of which the rest of the spec is): as its user,
        in its file system, with its environment and limits. It ends as that of open() does, or with the instance.

        RuntimeFailed when the instance does not run."""

    def reach(self, instance: Instance) -> Reach:
        """Where it can be asked now; asked anew before each look, since an app may listen elsewhere than it was told.

        What is found is remembered: from then on running() has that address too."""

    def output(self, instance: Instance, lines: int) -> tuple[str, ...]:
        """The last lines it wrote, oldest first; those of an ended one too, until it is stopped."""

    def usage(self, instances: Sequence[Instance]) -> Mapping[str, Usage]:
        """What each of these takes now, by its id; only of those that run and can be looked at."""

    def attend(self) -> AbstractContextManager[None]:
        """Within it, the output of all instances arrives in their `log` files. For the server, once."""

    def forget(self, app: str) -> None:
        """Take away what an app had besides its instances (networks, volumes). For an app that is destroyed."""

    def volumes(self, app: str) -> list[str]:
        """The names of the app's volumes that hold data, mounted or not, sorted."""

    def remove_volume(self, app: str, name: str) -> None:
        """Remove one with all that is in it. Gone already is fine; Conflict while an instance may use it."""

    def wait_for_exit(self, timeout: float) -> bool:
        """Block until an instance ends (True), or `timeout` seconds are over or wake() was called (False)."""

    def wake(self) -> None:
        """End a wait_for_exit early, from any thread."""

    def missing(self) -> list[str]:
        """What this machine lacks for full isolation and limits, one sentence each; empty when all is there."""
