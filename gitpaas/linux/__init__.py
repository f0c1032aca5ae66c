"""What only Linux can do: sandboxes, cgroups, processes that cannot be mistaken. Elsewhere the answers are "cannot"."""

from gitpaas.linux import usage
from gitpaas.linux.cgroups import Cgroup
from gitpaas.linux.hierarchies import (
    build_cgroup,
    can_limit_cpus,
    cgroup,
    cgroup_version,
    end_build,
    everywhere,
    group_of,
    inner_path,
)
from gitpaas.linux.processes import Process, boot_id
from gitpaas.linux.sandbox import Sandbox, can_confine, carry, confine

__all__ = [
    "Cgroup",
    "Process",
    "Sandbox",
    "boot_id",
    "build_cgroup",
    "can_confine",
    "can_limit_cpus",
    "carry",
    "cgroup",
    "cgroup_version",
    "confine",
    "end_build",
    "everywhere",
    "group_of",
    "inner_path",
    "usage",
]
