"""Docker Engine: the one home of its library. Above it nobody knows more than calls, labels and EngineFailed."""

from gitpaas.engine.client import Engine, labels
from gitpaas.engine.ping import answers

__all__ = ["Engine", "answers", "labels"]
