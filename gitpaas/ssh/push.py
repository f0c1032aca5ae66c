"""What a push does, in its order: names, objects, shallow boundary, refs, and the hook that deploys."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gitpaas.errors import GitpaasError, NotAllowed
from gitpaas.git import hook
from gitpaas.git.repository import Move, is_zero
from gitpaas.output import warning
from gitpaas.ssh import follow, refs
from gitpaas.ssh.follow import Client
from gitpaas.ssh.ingest import open_quarantine
from gitpaas.ssh.refs import Verdicts
from gitpaas.ssh.services import Services
from gitpaas.ssh.shallow import extend_shallow, read_shallow
from gitpaas.values import RECEIVE_REASONS, Actor

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Push:
    app: str
    repository: Path
    actor: Actor
    moves: Sequence[Move]
    shallow: Sequence[str]  # commits whose parents the client does not have
    options: Sequence[str]
    atomic: bool
    object_format: str


@dataclass(frozen=True)
class Report:
    """git's answer: what became of the pack ("ok"), and each ref's reason why not, or None."""

    unpack: str
    verdicts: Sequence[tuple[Move, str | None]]


def take(push: Push, client: Client, services: Services) -> Report:
    """Do what the push asks. Every ref gets its own answer; an atomic push moves all or nothing."""
    try:
        services.apps.for_push(push.app, push.actor, push.object_format)
    except GitpaasError as error:
        _tell(push, error, services)
        _warn(client, error.message, error.hint)
        reason = "not allowed" if isinstance(error, NotAllowed) else "refused"
        return Report("ok", [(move, reason) for move in push.moves])
    verdicts = refs.judge_names(push.moves) | _protect(push, services)
    try:
        problem = _store(push, verdicts, client, services)
    except OSError as error:
        _log.exception("%s: cannot store a push", push.app)
        problem = f"the server cannot store it: {error.strerror}"
    if problem:
        services.journal.failed(push.app, push.actor, problem)
        _warn(client, f"The push was refused: {problem}")
        return Report(problem, [(move, "unpacker error") for move in push.moves])
    deployed = _deployed(push, verdicts, services)
    _move(push, verdicts, deployed)
    deployed = deployed if deployed and verdicts[deployed] is None else None
    by_deploy = _accepted(verdicts) if push.atomic else [deployed]  # of these the deploy tells
    others = verdicts if deployed is None else {m: why for m, why in verdicts.items() if m not in by_deploy}
    services.journal.pushed(push.app, push.actor, others)
    _deploy(push, deployed, verdicts, client, services)
    return Report("ok", [(move, verdicts[move]) for move in push.moves])


def _protect(push: Push, services: Services) -> Verdicts:
    """The branch that is deployed cannot be deleted by a push."""
    deleted = {move.ref: move for move in push.moves if is_zero(move.new)}
    ref = services.apps.deploy_ref(push.app, list(deleted))
    return {deleted[ref]: "deletion of the deploy branch prohibited"} if ref else {}


def _store(push: Push, verdicts: Verdicts, client: Client, services: Services) -> str | None:
    """Take in the objects. What is wrong with the pack, or None; refs whose history has holes are judged so."""
    if all(is_zero(move.new) for move in push.moves):
        return None
    boundary = sorted({*push.shallow, *read_shallow(push.repository)})
    with open_quarantine(push.repository, boundary) as quarantine:
        if problem := quarantine.take_pack(client.receive, client.interrupt, services.config.max_push_size):
            return problem

        def holes(moves: Sequence[Move]) -> str | None:
            tips = [move.new for move in moves]
            return None if quarantine.is_connected(tips, client.keep_alive) else "missing necessary objects"

        verdicts |= refs.divide([move for move in _accepted(verdicts) if not is_zero(move.new)], holes)
        if _accepted(verdicts):
            quarantine.admit()
            extend_shallow(push.repository, push.shallow)
    return None


def _move(push: Push, verdicts: Verdicts, deployed: Move | None) -> None:
    """Move what may move now. What the deploy will move is only checked: it would be possible at this moment."""
    waiting = _accepted(verdicts) if push.atomic else [deployed] if deployed else []
    verdicts |= refs.divide(waiting, lambda some: refs.transact(push.repository, some, only_check=True))
    if push.atomic and any(verdicts.values()):
        verdicts |= dict.fromkeys(_accepted(verdicts), "atomic push failure")
    elif push.atomic and not deployed and (accepted := _accepted(verdicts)):
        verdicts |= dict.fromkeys(accepted, refs.transact(push.repository, accepted))
    elif not push.atomic:
        at_once = [move for move in _accepted(verdicts) if move != deployed]
        verdicts |= refs.divide(at_once, lambda some: refs.transact(push.repository, some))


def _tell(push: Push, error: GitpaasError, services: Services) -> None:
    if isinstance(error, NotAllowed):
        services.journal.refused("push", push.app, push.actor, error)
    else:
        services.journal.failed(push.app, push.actor, error.message)


def _deploy(push: Push, deployed: Move | None, verdicts: Verdicts, client: Client, services: Services) -> None:
    """Run the hook for a push of the deploy branch; its exit status is that ref's answer (or all of them's)."""
    accepted = _accepted(verdicts)
    if deployed is None:
        came = [move.ref for move in accepted if not is_zero(move.new)]
        if stored := [ref for kind in ("refs/heads/", "refs/tags/") for ref in came if ref.startswith(kind)]:
            client.tell(f"-----> {services.apps.stored_message(push.app, stored)}\n".encode())
        return
    env = hook.environment(
        services.config,
        push.app,
        push.actor,
        deploys=deployed.ref,
        deferred=True,
        atomic=push.atomic,
        options=push.options,
    )
    code = follow.run_hook(lambda: hook.start(services.config, push.app, accepted, env), client, services.orphans)
    if code:
        reason = RECEIVE_REASONS.get(code, RECEIVE_REASONS[1])
        verdicts |= dict.fromkeys(accepted if push.atomic else [deployed], reason)


def _deployed(push: Push, verdicts: Verdicts, services: Services) -> Move | None:
    """The accepted move that the deploy will make, if there is one. Asked once: git:set may choose another branch."""
    created = {move.ref: move for move in _accepted(verdicts) if not is_zero(move.new)}
    ref = services.apps.deploy_ref(push.app, list(created))
    return created[ref] if ref else None


def _accepted(verdicts: Verdicts) -> list[Move]:
    return [move for move, reason in verdicts.items() if reason is None]


def _warn(client: Client, message: str, hint: str | None = None) -> None:
    client.tell(warning(message, hint).encode("utf-8", "replace"))
