"""What the server asks of the machine before it begins."""

from __future__ import annotations

import resource
import subprocess
import sys

SAID = (
    "import resource; from gitpaas import serve; serve._open_many_files(); "
    "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
)


def test_a_login_shells_limit_of_open_files_is_not_the_servers() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    found = subprocess.run(
        [sys.executable, "-c", f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard})); {SAID}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert found.stdout == f"({65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)}, {hard})\n"
