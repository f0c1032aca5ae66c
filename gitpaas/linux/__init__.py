"""What only Linux can do: sandboxes, cgroups, processes that cannot be mistaken. Elsewhere the answers are "cannot"."""

from gitpaas.linux.cgroups import Cgroup, build_cgroup, cgroup, cgroup_version, end_build
from gitpaas.linux.processes import Process, boot_id
from gitpaas.linux.sandbox import Sandbox, can_confine, carry, confine

__all__ = [
    "Cgroup",
    "Process",
    "Sandbox",
    "boot_id",
    "build_cgroup",
    "can_confine",
    "carry",
    "cgroup",
    "cgroup_version",
    "confine",
    "end_build",
]
