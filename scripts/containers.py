"""Where apps run in containers: the programs that build images, and leaving nothing behind in Docker Engine."""

from __future__ import annotations

import json
import subprocess

from place import GITPAAS, Failed, Place, gitpaas, tell

from gitpaas import apps
from gitpaas.engine import Engine
from gitpaas.engine.images import Images
from gitpaas.platform import build_platform, choose, obstacle_to_containers
from gitpaas.store import App


def require_usable(place: Place) -> None:
    """Before minutes are spent on what containers need, and a server runs that cannot have any."""
    if choose(place.config).name == "docker" and (why := obstacle_to_containers(place.config)):
        raise Failed(
            f"Apps are to run in containers, and that does not work here now. {why}\n"
            "To do without containers: GITPAAS_RUNTIME=host scripts/quickstart"
        )


def install_tools(place: Place) -> None:
    """Railpack, BuildKit and mise, now and not in the first push: it takes a while, and shows how far it is."""
    if choose(place.config).name != "docker":
        return
    if all(tool["state"] == "ready" for tool in json.loads(gitpaas("toolchain", "--format", "json"))):
        tell("ready", "Railpack, BuildKit and mise")
        return
    if subprocess.run([GITPAAS, "toolchain:install"], stdin=subprocess.DEVNULL, check=False).returncode:
        raise Failed(
            "The programs that build images are missing; the reason stands above. To do without containers:"
            " GITPAAS_RUNTIME=host scripts/quickstart"
        )
    tell("made", "Railpack, BuildKit and mise")


def remove_all(place: Place) -> None:
    """Destroy every app with all that it has; of what was left half-removed, whatever carries our mark."""
    platform = build_platform(place.config)
    with platform.store.session():
        for app in list(App.select()):
            apps.destroy(platform, app)
    platform.store.close()
    if choose(place.config).name == "docker":
        _sweep(Engine(place.config))
        tell("removed", "containers, images, networks and volumes of its apps")


def _sweep(engine: Engine) -> None:
    """Never by force, where others could have a part in it: an image that somebody else has named stays."""
    images, api, ours = Images(engine), engine.api, engine.filter
    with engine.calls("removing what is left in Docker Engine"):
        for container in api.containers(all=True, filters=ours):
            api.remove_container(container["Id"], v=True, force=True)
        for image in images.ours():
            for name in [name for name in image.names if name.startswith("gitpaas/")] if image.names else [image.id]:
                images.remove(name)
        for network in api.networks(filters=ours):
            api.remove_network(network["Id"])
        for volume in api.volumes(filters=ours)["Volumes"] or []:
            api.remove_volume(volume["Name"], force=True)
