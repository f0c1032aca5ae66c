"""Programs of others that image builds need (Railpack, BuildKit, mise), each at one exact version of tools.toml.

Toolchain(config).path("buildctl")      installed on first use; the operator's own directory wins
Toolchain(config).search_path()         PATH for buildkitd, which starts runc and network plugins by name
"""

from gitpaas.toolchain.chain import Toolchain
from gitpaas.toolchain.inspector import Finding, ToolState

__all__ = ["Finding", "ToolState", "Toolchain"]
