"""The environment of an instance: the app's, and never the server's."""

from __future__ import annotations

from gitpaas.values import InstanceSpec, revealed

MARK = "GITPAAS_INSTANCE"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(spec: InstanceSpec, key: str, home: str, port: int | None) -> dict[str, str]:
    """All of it, for an app that brings none of its own."""
    return {"HOME": home, "PATH": _PATH, "USER": "app", "LANG": "C.UTF-8"} | additions(spec, key, port)


def additions(spec: InstanceSpec, key: str, port: int | None) -> dict[str, str]:
    """What the build brings, over that the config vars, over that what only the platform can know."""
    own = {
        "GITPAAS_APP": spec.app,
        "GITPAAS_RELEASE": f"v{spec.release}",
        "GITPAAS_PROCESS": f"{spec.process}.{spec.number}",
        "GITPAAS_COMMIT": spec.commit,
        "GITPAAS_URL": spec.url,
        MARK: key,
    }
    if port is not None:
        own["PORT"] = str(port)
    return dict(spec.artifact.env) | revealed(spec.env) | own
