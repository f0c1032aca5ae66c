"""What scripts/quickstart keeps of the environment in gitpaas.toml."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

import pytest

from gitpaas.config import load

_SPEC = importlib.util.spec_from_file_location("settings", Path(__file__).parents[2] / "scripts" / "settings.py")
assert _SPEC
assert _SPEC.loader
settings = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(settings)


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [
        ("", {}, {}),
        ("", {"SSH_PORT": "2222"}, {}),  # the default
        ("", {"SSH_PORT": "2322", "BASE_DOMAIN": "x.test"}, {"ssh_port": 2322, "base_domain": "x.test"}),
        ("ssh_port = 2\n", {}, {"ssh_port": 2}),
        ("max_builds = 1\nssh_port = 2 # mine\n", {"SSH_PORT": "3"}, {"max_builds": 1, "ssh_port": 3}),
        ("", {"LOG_LEVEL": "debug", "MAX_BUILDS": "9"}, {}),  # of no concern to the quickstart
        ("", {"RUNTIME": "host", "TOOLS": "/opt/tools"}, {"runtime": "host", "tools": "/opt/tools"}),
        ("", {"REGISTRY_MIRRORS": "docker.io=a.b,ghcr.io=a.b:1"}, {"registry_mirrors": "docker.io=a.b,ghcr.io=a.b:1"}),
        ("", {"INSECURE_REGISTRIES": "a:1, b:2"}, {"insecure_registries": "a:1, b:2"}),
        (
            "",
            {"APP_PORTS": "30000-30999", "APP_UID_BASE": "60000"},
            {"app_ports": "30000-30999", "app_uid_base": 60000},
        ),
        (
            "",
            {"HTTPS_PORT": "8443", "HTTPS_REDIRECT": "no", "ACME_EMAIL": "a@b.de"},
            {"https_port": 8443, "https_redirect": False, "acme_email": "a@b.de"},
        ),
        ("", {"APP_NETWORKS": "10.9.0.0/16"}, {"app_networks": "10.9.0.0/16"}),
    ],
)
def test_where_the_server_listens_is_kept(
    tmp_path: Path, before: str, given: dict[str, str], after: dict[str, object]
) -> None:
    path = tmp_path / "gitpaas.toml"
    path.write_text(before)
    environ = {"GITPAAS_HOME": str(tmp_path)} | {f"GITPAAS_{name}": value for name, value in given.items()}

    assert settings.overruled(load(environ)) == settings.keep(load(environ))

    assert tomllib.loads(path.read_text()) == after
    assert settings.overruled(load(environ)) == settings.keep(load(environ)) == []
