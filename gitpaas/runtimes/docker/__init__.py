"""The Docker runtime: instances are containers, one network for each app."""

from gitpaas.runtimes.docker.runtime import DockerRuntime

__all__ = ["DockerRuntime"]
