"""Who may do what. Every command, push, fetch and archive is checked here and nowhere else."""

from __future__ import annotations

from gitpaas.errors import NotAllowed, nearest
from gitpaas.names import is_app_name
from gitpaas.values import ROLES, Actor, Role


def reaches(role: Role | None, needed: Role) -> bool:
    """Whether this role may do what needs that one: admin can all, read the least, and no role nothing."""
    return role is not None and ROLES.index(role) <= ROLES.index(needed)


def require(actor: Actor, needed: Role, app: str | None, what: str) -> None:
    """NotAllowed unless they have that role on the app, or for all apps when `app` is None. `what` begins a sentence.

    Who has no role on an app gets one answer, whether it is there or not."""
    role = actor.role if app is None else actor.role_on(app)
    if reaches(role, needed):
        return
    if app is not None and role is None:
        raise _unseen(actor, needed, app)
    place, option = ("all apps", "--all") if app is None else (app, app)
    raise NotAllowed(
        f"{what} needs the role {needed} for {place}; you have {role or 'none'}.",
        f"An admin can give it: access:add {option} {actor.name} --role {needed}",
    )


def is_less(now: Actor, before: Actor, apps: frozenset[str]) -> bool:
    """Whether something was taken away: the role for all apps, or that on one of these, which are there still."""
    if before.role is not None and not reaches(now.role, before.role):
        return True
    kept = {app: role for app, role in before.grants.items() if app in apps}
    return any(not reaches(now.role_on(app), role) for app, role in kept.items())


def _unseen(actor: Actor, needed: Role, app: str) -> NotAllowed:
    # What was typed in an app's place may be somebody's secret, and what is said here is kept as an event.
    named = f"app {app!r}" if is_app_name(app) else "app of that name"
    hint = nearest(app, actor.grants, "List those that it may: ssh paas apps")
    give = f"An admin of it can give access: access:add APP {actor.name} --role {needed}"
    return NotAllowed(f"There is no {named} that your key may see.", f"{hint}\n{give}")
