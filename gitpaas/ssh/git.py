"""git over a session: which service, of which app, and whether this key may."""

from __future__ import annotations

from collections.abc import Sequence

from dulwich.errors import GitProtocolError, HangupException
from paramiko.channel import Channel

from gitpaas import access
from gitpaas.errors import GitpaasError, NotAllowed, NotFound, UsageError
from gitpaas.git import repository
from gitpaas.names import app_name
from gitpaas.ssh import upload
from gitpaas.ssh.receive import PushHandler
from gitpaas.ssh.services import Services
from gitpaas.ssh.wire import Wire
from gitpaas.values import Actor


def serve(channel: Channel, argv: Sequence[str], actor: Actor, services: Services, protocol: str | None) -> int:
    """Serve one git client to its end. GitpaasError in words for what it may not have."""
    service, app = parse(argv)
    pushes = service == "receive-pack"
    try:
        if pushes and actor.role == "read" and not services.apps.exists(app):  # nobody could give a role for that one
            access.require(actor, "deploy", None, "A push that makes an app")
        access.require(actor, "deploy" if pushes else "read", app, "A push" if pushes else "A fetch")
    except NotAllowed as error:
        services.journal.refused("push" if pushes else "fetch", app, actor, error)
        raise
    if pushes:
        return _receive(channel, app, actor, services)
    if not services.apps.exists(app):
        raise NotFound(f"There is no app {app!r} to fetch from.", "Your first push makes it: git push paas main")
    path = services.config.repository(app)
    return upload.serve(channel, service, path, protocol)


def parse(argv: Sequence[str]) -> tuple[str, str]:
    """("receive-pack", "hello") of `git-receive-pack '/hello.git'`, or of `git receive-pack hello` of old clients."""
    words = list(argv)
    service, rest = (words[1], words[2:]) if words[0] == "git" else (words[0].removeprefix("git-"), words[1:])
    if len(rest) != 1:
        raise UsageError("git asks for one repository: the name of an app.", "Like this: git push paas:hello main")
    return service, app_name(rest[0].removeprefix("/").removesuffix("/").removesuffix(".git"))


def _receive(channel: Channel, app: str, actor: Actor, services: Services) -> int:
    wire = Wire(channel)
    try:
        PushHandler(wire, app, actor, services).handle()
        wire.flush()
        repository.tidy(services.config.repository(app))
    except HangupException as error:
        raise EOFError from error
    except GitProtocolError as error:
        raise GitpaasError(f"git's protocol was not kept: {error}") from error
    return 0
