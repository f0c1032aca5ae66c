"""What a push does, in its order: names, objects, shallow boundary, refs, and the hook that deploys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gitpaas.errors import GitpaasError, NotAllowed
from gitpaas.ssh import hook, refs
from gitpaas.ssh.ingest import open_quarantine
from gitpaas.ssh.refs import Command, Verdicts
from gitpaas.ssh.services import Services
from gitpaas.ssh.shallow import extend_shallow, read_shallow
from gitpaas.values import RECEIVE_REASONS, Actor


@dataclass(frozen=True)
class Push:
    app: str
    repository: Path
    actor: Actor
    commands: Sequence[Command]
    shallow: Sequence[str]  # commits whose parents the client does not have
    options: Sequence[str]
    atomic: bool
    object_format: str


@dataclass(frozen=True)
class Report:
    """git's answer: what became of the pack ("ok"), and each ref's reason why not, or None."""

    unpack: str
    verdicts: Sequence[tuple[Command, str | None]]


class Client(Protocol):
    """The other end, as far as a push needs it."""

    def receive(self) -> bytes: ...
    def interrupt(self, on: bool) -> None: ...
    def tell(self, data: bytes) -> None: ...
    def keep_alive(self) -> None: ...
    def is_gone(self) -> bool: ...


def take(push: Push, client: Client, services: Services) -> Report:
    """Do what the push asks. Every ref gets its own answer; an atomic push moves all or nothing."""
    try:
        services.apps.for_push(push.app, push.actor, push.object_format)
    except GitpaasError as error:
        _warn(client, error.message, error.hint)
        reason = "not allowed" if isinstance(error, NotAllowed) else "refused"
        return Report("ok", [(command, reason) for command in push.commands])
    verdicts = refs.judge_names(push.commands) | _protect(push, services)
    if problem := _store(push, verdicts, client, services):
        _warn(client, f"The push was refused: {problem}")
        return Report(problem, [(command, "unpacker error") for command in push.commands])
    _move(push, verdicts, services)
    _deploy(push, verdicts, client, services)
    return Report("ok", [(command, verdicts[command]) for command in push.commands])


def _protect(push: Push, services: Services) -> Verdicts:
    """The branch that is deployed cannot be deleted by a push."""
    prohibited = "deletion of the deploy branch prohibited"
    return {
        command: prohibited
        for command in push.commands
        if command.deletes and services.apps.deploy_ref(push.app, [command.name])
    }


def _store(push: Push, verdicts: Verdicts, client: Client, services: Services) -> str | None:
    """Take in the objects. What is wrong with the pack, or None; refs whose history has holes are judged so."""
    if all(command.deletes for command in push.commands):
        return None
    boundary = sorted({*push.shallow, *read_shallow(push.repository)})
    with open_quarantine(push.repository, boundary) as quarantine:
        if problem := quarantine.take_pack(client.receive, client.interrupt, services.config.max_push_size):
            return problem

        def holes(commands: Sequence[Command]) -> str | None:
            tips = [command.new for command in commands]
            return None if quarantine.is_connected(tips, client.keep_alive) else "missing necessary objects"

        verdicts |= refs.divide([command for command in _accepted(verdicts) if not command.deletes], holes)
        if _accepted(verdicts):
            quarantine.admit()
            extend_shallow(push.repository, push.shallow)
    return None


def _move(push: Push, verdicts: Verdicts, services: Services) -> None:
    """Move what may move now. What the deploy will move is only checked: it would be possible at this moment."""
    deployed = _deployed(push, verdicts, services)
    waiting = _accepted(verdicts) if push.atomic else [deployed] if deployed else []
    verdicts |= refs.divide(waiting, lambda some: refs.transact(push.repository, some, only_check=True))
    if push.atomic and any(verdicts.values()):
        verdicts |= dict.fromkeys(_accepted(verdicts), "atomic push failure")
    elif push.atomic and not deployed and (accepted := _accepted(verdicts)):
        verdicts |= dict.fromkeys(accepted, refs.transact(push.repository, accepted))
    elif not push.atomic:
        verdicts |= refs.move(push.repository, [command for command in _accepted(verdicts) if command != deployed])


def _deploy(push: Push, verdicts: Verdicts, client: Client, services: Services) -> None:
    """Run the hook for a push of the deploy branch; its exit status is that ref's answer (or all of them's)."""
    accepted, deployed = _accepted(verdicts), _deployed(push, verdicts, services)
    if deployed is None:
        branches = [c.name for c in accepted if c.name.startswith("refs/heads/") and not c.deletes]
        if branches:
            client.tell(f"-----> {services.apps.stored_message(push.app, branches)}\n".encode())
        return
    code = hook.run(
        push.repository,
        [command.line for command in accepted],
        hook.environment(services.config, push.repository, push.app, push.actor, push.options, atomic=push.atomic),
        tell=client.tell,
        keep_alive=client.keep_alive,
        is_gone=client.is_gone,
        orphans=services.orphans,
    )
    if code:
        reason = RECEIVE_REASONS.get(code, RECEIVE_REASONS[1])
        verdicts |= dict.fromkeys(accepted if push.atomic else [deployed], reason)


def _deployed(push: Push, verdicts: Verdicts, services: Services) -> Command | None:
    """The accepted command that the deploy will carry out, if there is one."""
    created = {command.name: command for command in _accepted(verdicts) if not command.deletes}
    ref = services.apps.deploy_ref(push.app, list(created))
    return created[ref] if ref else None


def _accepted(verdicts: Verdicts) -> list[Command]:
    return [command for command, reason in verdicts.items() if reason is None]


def _warn(client: Client, message: str, hint: str | None = None) -> None:
    lines = [*message.splitlines(), *(hint or "").splitlines()]
    client.tell("".join(f" !     {line}\n" for line in lines).encode("utf-8", "replace"))
