"""The one BuildKit daemon of a state directory, and what is asked of it."""

from gitpaas.buildkit.build import BuildKit
from gitpaas.buildkit.job import Job

__all__ = ["BuildKit", "Job"]
