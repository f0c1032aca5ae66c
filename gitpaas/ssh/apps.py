"""Apps as the SSH room sees them: the platform's own functions, each in a database session."""

from __future__ import annotations

from collections.abc import Sequence

from gitpaas import apps
from gitpaas.platform import Platform
from gitpaas.store import App
from gitpaas.values import Actor


class PlatformApps:
    """services.Apps over the real platform."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def exists(self, name: str) -> bool:
        return self._find(name) is not None

    def for_push(self, name: str, actor: Actor, object_format: str) -> None:
        with self._platform.store.session():
            apps.for_push(self._platform, name, actor, object_format)

    def deploy_ref(self, name: str, refs: Sequence[str]) -> str | None:
        return apps.deploy_branch(self._find(name), refs)

    def stored_message(self, name: str, refs: Sequence[str]) -> str:
        return apps.stored_message(self._find(name), refs)

    def live_notice(self, name: str) -> str | None:
        from gitpaas import deploy  # late: an idle server needs no flow

        with self._platform.store.session():
            return deploy.live_notice(self._platform, name)

    def _find(self, name: str) -> App | None:
        with self._platform.store.session():
            app: App | None = App.get_or_none(App.name == name)
            return app
