"""Custom domains: the names besides its own at which an app answers. Each is one app's on the whole machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitpaas import access, apps
from gitpaas.apps import aliases, domainname
from gitpaas.config import Config, hosts
from gitpaas.errors import Conflict, NotFound, UsageError, nearest
from gitpaas.platform import Platform
from gitpaas.store import App, Domain
from gitpaas.values import Actor, Role


def of(app: App) -> list[Domain]:
    """Those of one app, in their order."""
    return sorted(Domain.select().where(Domain.app == app), key=_order)


def by_app() -> Mapping[int, Sequence[Domain]]:
    """Those of all apps that have any, by the app's id."""
    found: dict[int, list[Domain]] = {}
    for row in sorted(Domain.select(), key=_order):
        found.setdefault(row.app_id, []).append(row)
    return found


def urls(platform: Platform, app: App) -> list[str]:
    """Where the app answers besides its own URL."""
    config = platform.config
    return [config.url_of(row.name) for row in of(app) if aliases.is_free(config, row.name, app.name)]


def single_hosts(config: Config, app: App, added: Sequence[Domain]) -> list[str]:
    """The names that have a certificate each: the app's own and those added to it, but for wildcards."""
    names = [row.name for row in added if aliases.is_free(config, row.name, app.name)]
    single = (name for name in names if domainname.plain(name) == name)
    return [name for name in (config.host(app.name), *single) if not hosts.is_too_deep(name)]


def add(platform: Platform, app: App, names: Sequence[str], actor: Actor) -> list[str]:
    """From now on the app answers at these too; those of them that it did not have. All or nothing: UsageError or
    Conflict."""
    for name in names:
        _require_free(platform, app, name)
    with platform.store.transaction():
        now = apps.now(app)
        fresh = [name for name in dict.fromkeys(names) if not _is_there(now, name, actor)]
        for name in fresh:
            Domain.create(app=now, name=name, by=actor.name)
    aliases.settle(platform)
    return fresh


def remove(platform: Platform, app: App, names: Sequence[str]) -> None:
    """The app answers at these no more. All or nothing: NotFound."""
    with platform.store.transaction():
        known = [row.name for row in of(apps.now(app))]
        for name in names:
            if name == platform.config.host(app.name):
                raise UsageError(f"{name} is {app.name}'s own, and stays as long as the app is there.")
            if name not in known:
                hint = nearest(name, known, f"List them: ssh paas domains {app.name}")
                raise NotFound(f"{app.name} has no domain {domainname.shown(name)}.", hint)
        for name in names:
            Domain.delete().where(Domain.name == name).execute()
    aliases.settle(platform)


def _order(row: Domain) -> list[str]:
    """What lies beneath another name comes after it, wildcards first."""
    return str(row.name).split(".")[::-1]


def _require_free(platform: Platform, app: App, name: str) -> None:
    """UsageError when the base domain says whose it is, and it is not this app's to add."""
    config = platform.config
    if aliases.is_free(config, name, app.name):
        return
    owner = aliases.label_under_base(config, name)
    if owner == app.name:
        raise UsageError(f"{name} is {app.name}'s own: it answers there without being told.")
    hint = f"Names under {config.base_domain} are the apps' own. Add another one: www.example.com"
    if owner == "*":
        raise UsageError(f"{name} stands for all apps, those to come among them.", hint)
    raise UsageError(f"{name} belongs to an app called {owner}, whether there is one now or later.", hint)


def _is_there(app: App, name: str, actor: Actor) -> bool:
    """Whether the app has it already; Conflict when another one has it, or would lose it."""
    holder = _holder(name)
    if holder is not None:
        if holder.id == app.id:
            return True
        raise Conflict(f"{domainname.shown(name)} belongs to {_named(holder, actor)}.", _way_out(holder, name, actor))
    wildcard = domainname.wildcard_over(name)
    over = _holder(wildcard) if wildcard != name else None
    if over is not None and over.id != app.id and not _may(actor, "deploy", over):
        raise Conflict(
            f"{domainname.shown(name)} is one of {domainname.shown(wildcard)}, which belongs to {_named(over, actor)}.",
            "Who may deploy that app too can give it away: it goes before the wildcard.",
        )
    return False


def _holder(name: str) -> App | None:
    row = Domain.select(Domain, App).join(App).where(Domain.name == name).first()
    return row.app if row else None


def _named(holder: App, actor: Actor) -> str:
    """Its name is for those who may see it."""
    return str(holder.name) if _may(actor, "read", holder) else "another app"


def _way_out(holder: App, name: str, actor: Actor) -> str:
    if _may(actor, "deploy", holder):
        return f"First: ssh paas domains:remove {holder.name} {name}"
    return "Who may deploy that app can remove it there."


def _may(actor: Actor, role: Role, app: App) -> bool:
    return access.reaches(actor.role_on(app.name), role)
