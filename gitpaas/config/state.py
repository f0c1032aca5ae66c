"""The state directory: what is where in it. What is in `run` and `locks` for one room alone, that room names itself."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StateDirectory:
    home: Path

    @property
    def database(self) -> Path:
        return self.home / "gitpaas.db"

    @property
    def secret_key(self) -> Path:
        return self.home / "secret.key"

    @property
    def host_key(self) -> Path:
        return self.home / "ssh_host_ed25519_key"

    @property
    def repos(self) -> Path:
        return self.home / "repos"

    @property
    def routes(self) -> Path:
        return self.home / "routes"

    @property
    def locks(self) -> Path:
        return self.home / "locks"

    @property
    def server_record(self) -> Path:
        """Where a server that is ready says where it listens."""
        return self.run / "server.json"

    @property
    def run(self) -> Path:
        """Records, sockets and scratch of what runs now; not worth a backup."""
        return self.home / "run"

    @property
    def caddy(self) -> Path:
        return self.home / "caddy"

    @property
    def tls(self) -> Path:
        """Certificates with their keys, the account with their CA, and a CA of this server's own: all Caddy's."""
        return self.home / "tls"

    @property
    def certificates_log(self) -> Path:
        """Where Caddy says which certificates it did not get, and why."""
        return self.caddy / "certificates.log"

    @property
    def toolchain(self) -> Path:
        return self.home / "toolchain"

    @property
    def identity(self) -> str:
        """Tells what is ours on an engine that several servers share: 12 hex digits of the state directory's path."""
        return hashlib.sha256(os.fsencode(self.home.resolve())).hexdigest()[:12]

    @property
    def chosen_runtime(self) -> Path:
        """What `auto` was decided to be, and why, in two lines."""
        return self.home / "runtime"

    @property
    def buildkit(self) -> Path:
        return self.home / "buildkit"

    @property
    def registry_credentials(self) -> Path:
        """A directory with a config.json as Docker's own programs write it; mode 0700."""
        return self.home / "registries"

    @property
    def all_volumes(self) -> Path:
        return self.home / "volumes"

    @property
    def all_slugs(self) -> Path:
        return self.home / "slugs"

    @property
    def all_caches(self) -> Path:
        return self.home / "cache"

    @property
    def all_logs(self) -> Path:
        return self.home / "logs"

    def volumes(self, app: str) -> Path:
        """Where the host runtime keeps those of an app."""
        return self.all_volumes / app

    def volume(self, app: str, name: str) -> Path:
        return self.volumes(app) / name

    def repository(self, app: str) -> Path:
        return self.repos / f"{app}.git"

    def slugs(self, app: str) -> Path:
        return self.all_slugs / app

    def slug(self, app: str, build: int) -> Path:
        return self.slugs(app) / str(build)

    def cache(self, app: str) -> Path:
        return self.all_caches / app

    def logs(self, app: str) -> Path:
        return self.all_logs / app

    def raw_logs(self, app: str) -> Path:
        """Where output is appended before it is collected."""
        return self.logs(app) / "raw"

    def raw_log(self, app: str, name: str) -> Path:
        """`name`: of an instance, or of who else writes there."""
        return self.raw_logs(app) / f"{name}.log"

    def build_log(self, app: str, build: int) -> Path:
        return self.logs(app) / "builds" / f"{build}.log"

    def release_log(self, app: str, release: int) -> Path:
        """What a release's own commands printed; by the id of its row, for its number may change until it is live."""
        return self.logs(app) / "releases" / f"{release}.log"

    @property
    def tickets_lock(self) -> Path:
        """Held while a build's row and its lock appear, and by who must not see one without the other."""
        return self.locks / "tickets"

    @property
    def buildkit_lock(self) -> Path:
        """Held by our buildkitd for as long as it lives, and by what it has started."""
        return self.locks / "buildkit"

    @property
    def aliases_lock(self) -> Path:
        """Held while the router is told of custom domains, by who reads them with the lock held."""
        return self.locks / "aliases"

    def build_lock(self, build: int) -> Path:
        """Held by the process that runs the build, for as long as it lives."""
        return self.locks / "builds" / str(build)

    def one_off_lock(self, number: int) -> Path:
        """Held by the process that starts a one-off command or waits for its end."""
        return self.locks / "one-offs" / str(number)

    def cron_lock(self, app: str) -> Path:
        """Held while an entry of the app's cron is started: whether one runs already is looked at one by one."""
        return self.locks / "cron" / app

    def rollout_lock(self, app: str) -> Path:
        """Held from before a change of what runs is decided until it is done: one at a time for each app."""
        return self.locks / "rollout" / app

    def artifacts_lock(self, app: str) -> Path:
        """Held while an app's artifacts are removed, and while one that may be next is taken into use again."""
        return self.locks / "artifacts" / app

    def live_lock(self, app: str) -> Path:
        """Held for the moments in which an app's route and live release change. Taken after rollout_lock."""
        return self.locks / "live" / app
