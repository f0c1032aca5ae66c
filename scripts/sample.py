"""The sample app: a git repository in the user's home directory, its push, and its answer."""

from __future__ import annotations

import getpass
import http.client
import shlex
import shutil
import ssl
import subprocess
import time

from place import CLONE, Failed, Place, call, gitpaas, reachable, shown, succeeds, tell, who

APP = "hello"


def make(place: Place) -> None:
    """A git repository with the sample app, its remote `paas` set. One that is there keeps its commits and edits."""
    sample = place.sample
    made = not sample.exists()
    if made:
        sample.mkdir()
        _git(place, "init", "-q")
        _git(place, "config", "gitpaas.sample", "true")
    elif not is_ours(place):
        raise Failed(f"{sample} is there and not ours. Move it away, then run scripts/quickstart again.")
    _set_identity(place)
    _set_remote(place)
    if not succeeds(["git", "-C", str(sample), "rev-parse", "-q", "--verify", "HEAD"]):
        _fill(place)
    tell("made" if made else "ready", f"sample app {shown(sample)}")


def push(place: Place) -> None:
    if _answers(place):
        tell("ready", f"{APP} answers")
        return
    print(f"\n$ cd {shown(place.sample)} && git push paas main", flush=True)
    if subprocess.run(["git", "-C", place.sample, "push", "paas", "main"], env=place.git_env, check=False).returncode:
        raise Failed("The push failed; the reason stands above.")
    if not _answers(place):  # pushed before, but stopped, scaled to nothing or put into maintenance since
        gitpaas("maintenance:off", APP)
        gitpaas("ps:start", APP)
        gitpaas("ps:scale", APP, "web=1")
    if not _answers(place, patience=10):
        seen = "certificates" if _lacks_certificate(place) else "logs"
        raise Failed(f"{place.config.url(APP)} does not answer. See: {shlex.join(place.ssh)} paas {seen} {APP}")


def is_ours(place: Place) -> bool:
    """Whether the directory has the mark that make() left in its own git configuration."""
    marked = ["git", "config", "--file", str(place.sample / ".git" / "config"), "gitpaas.sample"]
    return succeeds(marked)


def _set_identity(place: Place) -> None:
    """Who commits, in this repository alone, when the user has not told git yet."""
    for name, value in (("user.name", getpass.getuser()), ("user.email", who())):
        if not succeeds(["git", "-C", str(place.sample), "config", name]):
            _git(place, "config", name, value)


def _set_remote(place: Place) -> None:
    if succeeds(["git", "-C", str(place.sample), "remote", "get-url", "paas"]):
        _git(place, "remote", "set-url", "paas", f"paas:{APP}")
    else:
        _git(place, "remote", "add", "paas", f"paas:{APP}")
    if place.ssh == ["ssh"]:
        succeeds(["git", "-C", str(place.sample), "config", "--unset", "core.sshCommand"])
    else:
        _git(place, "config", "core.sshCommand", shlex.join(place.ssh))


def _fill(place: Place) -> None:
    """The first commit: what the server has of it from an earlier time, else the files that come with gitpaas."""
    _git(place, "symbolic-ref", "HEAD", "refs/heads/main")
    if succeeds(["git", "-C", str(place.sample), "fetch", "-q", "paas", "main"]):
        _git(place, "reset", "-q", "--hard", "FETCH_HEAD")
        return
    files = CLONE / "scripts" / "hello"
    shutil.copytree(files, place.sample, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    _git(place, "add", "--all")
    _git(place, "-c", "commit.gpgsign=false", "commit", "-q", "--no-verify", "-m", "Say hello")


def _answers(place: Place, patience: float = 0) -> bool:
    """Whether the sample's URL says 200, tried for `patience` seconds."""
    give_up = time.monotonic() + patience
    while True:
        if _status(place) == 200:
            return True
        if time.monotonic() >= give_up:
            return False
        time.sleep(0.2)


def _status(place: Place) -> int | None:
    """The HTTP status of the sample's URL. Asked by address: *.localhost is known to browsers, not to resolvers."""
    connection = _connection(place)
    try:
        connection.request("GET", "/", headers={"Host": place.config.host(APP)})
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def _lacks_certificate(place: Place) -> bool:
    """Whether it is HTTPS that fails: the app may be well, and a CA out of reach or not content."""
    if not place.config.https_port:
        return False
    connection = _connection(place)
    try:
        connection.connect()
    except (ssl.SSLError, TimeoutError):
        return True
    except OSError:
        return False
    finally:
        connection.close()
    return False


def _connection(place: Place) -> http.client.HTTPConnection:
    """By HTTPS where that is its URL. Whether its certificate is one to trust is not asked here: it may be this very
    server's own, or be on its way."""
    address, config = reachable(place.config.bind), place.config
    if not config.https_port:
        return http.client.HTTPConnection(address, config.http_port, timeout=10)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return _Named(address, config.https_port, config.host(APP), context)


class _Named(http.client.HTTPSConnection):
    """Says the name of the host when it has the address alone."""

    def __init__(self, address: str, port: int, name: str, context: ssl.SSLContext) -> None:
        super().__init__(address, port, timeout=10, context=context)
        self._context, self._name = context, name

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)


def _git(place: Place, *args: str) -> str:
    return call(["git", "-C", str(place.sample), *args])
