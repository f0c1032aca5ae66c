"""A connection to the engine: made when first needed, its errors in our words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from gitpaas.config import Config
from gitpaas.descriptors import close_with
from gitpaas.errors import EngineFailed
from gitpaas.output import plain

if TYPE_CHECKING:
    from docker import APIClient

_TIMEOUT = 60  # seconds until a call is given up
_CONNECTIONS = 50  # kept for later calls; every thread that stops an instance has one


class Engine:
    """Use `api` within `calls()`, which turns what the library raises into EngineFailed."""

    def __init__(self, config: Config, timeout: int = _TIMEOUT) -> None:
        self._config = config
        self._timeout = timeout

    @cached_property
    def api(self) -> APIClient:
        """The low-level client. It speaks the newest version that both sides know."""
        from docker import APIClient

        api = APIClient(base_url=self.address, version="auto", timeout=self._timeout, max_pool_size=_CONNECTIONS)
        close_with(self, api.close)
        return api

    @property
    def address(self) -> str:
        """`unix:///path` or `tcp://host:port`."""
        return self._config.docker_host

    @contextmanager
    def calls(self, doing: str, *, missing_ok: bool = False) -> Iterator[None]:
        """`doing` says what fails, in words: "starting web.1". With `missing_ok` what is gone already is fine."""
        from docker.errors import APIError, DockerException, NotFound
        from requests import RequestException

        try:
            yield
        except NotFound as error:
            if not missing_ok:
                raise EngineFailed(f"{doing}: {plain(error.explanation or str(error))}", status=404) from error
        except APIError as error:
            told = plain(error.explanation or str(error))
            raise EngineFailed(f"{doing}: {told}", status=error.status_code) from error
        except (DockerException, RequestException, OSError) as error:
            raise silence(doing, self.address) from error

    @property
    def ours(self) -> dict[str, str]:
        """The label that everything of this server carries, and nothing of anybody else's."""
        return {"gitpaas.home": self._config.identity}

    @property
    def filter(self) -> dict[str, str]:
        """What makes the engine list only what is ours."""
        return {"label": f"gitpaas.home={self._config.identity}"}

    def filters(self, **values: str | int) -> dict[str, list[str]]:
        """The same, narrowed: `filters(app="hello")`."""
        return {"label": [f"{name}={value}" for name, value in labels(self.ours, **values).items()]}


def labels(ours: Mapping[str, str], **values: str | int) -> dict[str, str]:
    """`labels(engine.ours, app="hello", release=12)`: gitpaas.app, gitpaas.release and the mark of this server."""
    return dict(ours) | {f"gitpaas.{name}": str(value) for name, value in values.items()}


def silence(doing: str, address: str) -> EngineFailed:
    """What is raised when the engine says nothing at all."""
    return EngineFailed(f"{doing}: Docker Engine at {address} does not answer", "Is it running? docker info")
