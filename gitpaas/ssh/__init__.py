"""The SSH server: it takes pushes and commands. paramiko speaks SSH, dulwich git's protocol, and git does the work."""

import sys

# paramiko.config imports invoke for an option of client configurations that no server reads, and with it asyncio and
# unittest.mock: 6 MB of an idle server's 45. It does without where the import fails.
sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]
