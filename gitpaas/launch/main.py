"""The steps from a process of ours to the program."""

from __future__ import annotations

import os
import resource

from gitpaas.launch import CARRIED, FAILED, kernel, tree

_OWN = ("LC_CTYPE", "OLDPWD", "PWD", "SHLVL", "_")  # a shell and the interpreter set these themselves
_TELL = 3  # the file descriptor on which the starter listens, after `ready`


def main(arguments: list[str]) -> int:
    end = arguments.index("--")
    try:
        environment = _environment()
        _carry_out(arguments[:end])
        _become(arguments[end + 1 :], environment)
    except (OSError, ValueError) as error:
        _tell(error)
    return FAILED


def session() -> None:
    """A session and process group of its own."""
    os.setsid()


def ready() -> None:
    """Standard input is a pipe to the starter: it reads an error, or just the end once the program runs."""
    os.dup2(0, _TELL, inheritable=False)  # so that exec closes it
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)


def starter(fd: str) -> None:
    """The starter listens at this file descriptor, a socket: it reads the same, and gets what `terminal` makes."""
    if int(fd) != _TELL:
        os.dup2(int(fd), _TELL)
        os.close(int(fd))
    os.set_inheritable(_TELL, False)


def console() -> None:
    """Load what `terminal` needs: inside a sandbox it is out of reach."""
    from gitpaas.launch import console  # noqa: F401  (late: it costs a start without a terminal some milliseconds)


def terminal(columns: str, rows: str) -> None:
    """Standard input, output and errors are a terminal of its own, and it is the session's."""
    from gitpaas.launch import console

    console.open_for(_TELL, int(columns), int(rows))


def cgroup(directory: str) -> None:
    with open(f"{directory}/cgroup.procs", "w") as procs:
        procs.write("0")


def started(path: str, record: str) -> None:
    """Leave pid and start time; go no further when the record is gone: then somebody has already cleaned up."""
    with open(path, "w") as file:
        file.write(f"{os.getpid()} {tree.start_time('self')}\n")
    if not os.path.exists(record):
        os.unlink(path)
        raise OSError("the start was called off")


def limit(name: str, value: str) -> None:
    which = getattr(resource, f"RLIMIT_{name}")
    _, highest = resource.getrlimit(which)
    wanted = int(value) if highest == resource.RLIM_INFINITY else min(int(value), highest)
    resource.setrlimit(which, (wanted, wanted))


def enter(uid: str) -> None:
    """Into the tree, and out of every privilege."""
    _prefer_for_the_oom_killer()
    tree.enter()
    _give_up_rights(uid)


def join(pid: str, started: str, uid: str) -> None:
    """Where that process is, and out of every privilege as it was."""
    _prefer_for_the_oom_killer()
    tree.join(int(pid), int(started), int(uid))
    _give_up_rights(uid)


def chdir(path: str) -> None:
    os.chdir(path)


def _give_up_rights(uid: str) -> None:
    kernel.leave_session_keyring()
    kernel.forbid_capabilities()
    os.setgroups([])
    os.setresgid(int(uid), int(uid), int(uid))
    os.setresuid(int(uid), int(uid), int(uid))
    kernel.clear_capabilities()
    kernel.forbid_new_privileges()


def _carry_out(words: list[str]) -> None:
    rest = iter(words)
    for name in rest:
        step = _STEPS[name]
        step(*(next(rest) for _ in range(step.__code__.co_argcount)))


def _become(program: list[str], environment: dict[str, str]) -> None:
    kernel.default_signals()
    os.closerange(_TELL + 1, 4096)
    os.execvpe(program[0], program, environment)


def _environment() -> dict[str, str]:
    names = [name for name in os.environ if name not in _OWN]
    if bare := [name for name in names if not name.startswith(CARRIED)]:
        raise ValueError(f"the environment must go through linux.carry(), and {bare[0]} did not")
    return {name.removeprefix(CARRIED): os.environ[name] for name in names}


def _tell(error: OSError | ValueError) -> None:
    """To the program's own log, and to the starter if it listens."""
    text = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
    for fd in (2, _TELL):
        try:
            os.write(fd, f"cannot start: {text}\n".encode())
        except OSError:
            continue


def _prefer_for_the_oom_killer() -> None:
    """When the whole machine runs out of memory an app goes before the server."""
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("500")


_STEPS = {
    step.__name__: step
    for step in (
        session, ready, starter, console, cgroup, started, limit,
        tree.root, tree.link, tree.directory, tree.read, tree.write, tree.file, tree.tmpfs, tree.tmp, tree.overlay,
        tree.seal, tree.proc, tree.dev, enter, join, chdir, terminal,
    )
}  # fmt: skip
