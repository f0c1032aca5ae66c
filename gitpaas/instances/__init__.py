"""Instances: what should run against what does, and how the one becomes the other without a request lost."""
