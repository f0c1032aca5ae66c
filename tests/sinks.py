"""What people would read of an Output, kept."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Lines:
    """A sink that remembers."""

    data: bytearray = field(default_factory=bytearray)

    def write(self, data: bytes) -> None:
        self.data += data

    @property
    def text(self) -> str:
        return self.data.decode()
