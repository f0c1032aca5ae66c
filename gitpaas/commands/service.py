"""service: a systemd unit for this installation, hardened as far as a server of other people's code can be."""

from __future__ import annotations

import os
import sys

from gitpaas.commands.base import command
from gitpaas.commands.call import Call
from gitpaas.config import Config

_HEAD = """\
# {title}
# Save it and start it:
{steps}
#
# KillMode=process: a stop or an upgrade ends the server only. Apps keep running and are found again.
# RestartKillSignal=SIGUSR1: a restart leaves the router to the next server, so no request is lost.
# What is not switched on, and why: ProtectSystem=strict, PrivateTmp, MemoryDenyWriteExecute, RestrictNamespaces and
# ProtectControlGroups would pass on to the apps, which need namespaces and cgroups of their own to be kept apart.
"""

_SYSTEM_STEPS = """\
#   gitpaas service | sudo tee /etc/systemd/system/gitpaas.service
#   sudo systemctl daemon-reload
#   sudo systemctl enable --now gitpaas"""

_USER_STEPS = """\
#   mkdir -p ~/.config/systemd/user && gitpaas service > ~/.config/systemd/user/gitpaas.service
#   systemctl --user daemon-reload && systemctl --user enable --now gitpaas
#   sudo loginctl enable-linger {user}      (so that it runs without you being logged in)"""

_UNIT = """
[Unit]
Description=gitpaas: git push to live
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
ExecStart={command}
{environment}
Restart=always
RestartSec=1
KillMode=process
RestartKillSignal=SIGUSR1
TimeoutStopSec=30
OOMPolicy=continue
Delegate=yes
TasksMax=infinity
LimitNOFILE=1048576
UMask=0077
{hardening}
[Install]
WantedBy={target}
"""

# What an unprivileged user's systemd can switch on as well.
_FOR_ALL = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
"""

_FOR_ROOT = """\
ProtectSystem=full
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
"""


@command("service", role="admin", local=True)
def service(call: Call) -> None:
    """Print a systemd unit that runs this gitpaas, and where to put it."""
    call.console.out(unit(call.config, is_root=os.geteuid() == 0))


def unit(config: Config, *, is_root: bool) -> str:
    """The unit as text: a system's one for root, else a user's own."""
    user = config.environ.get("USER", "$USER")
    head = _HEAD.format(
        title="A systemd unit for gitpaas" + ("" if is_root else ", run by your own user"),
        steps=_SYSTEM_STEPS if is_root else _USER_STEPS.format(user=user),
    )
    return head + _UNIT.format(
        command=f"{_quoted(sys.executable).replace('$', '$$')} -I -m gitpaas serve",
        environment="\n".join(f"Environment={_quoted(f'{name}={value}')}" for name, value in _environment(config)),
        hardening=_FOR_ALL + (_FOR_ROOT if is_root else ""),
        target="multi-user.target" if is_root else "default.target",
    )


def _environment(config: Config) -> list[tuple[str, str]]:
    """The settings that come from variables now, the state directory in any case, and where git is found."""
    given = {name: value for name, value in config.environ.items() if name.startswith("GITPAAS_")}
    given |= {"GITPAAS_HOME": str(config.home)}
    given |= {"PATH": config.environ["PATH"]} if "PATH" in config.environ else {}
    return sorted(given.items())


def _quoted(text: str) -> str:
    """As systemd.syntax(7) wants it: in quotes, and % doubled (a specifier otherwise)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{escaped}"'


COMMANDS = (service,)
