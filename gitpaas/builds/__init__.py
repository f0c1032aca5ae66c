"""Builds: an app's queue, a source tree that becomes an artifact, what runs once before and after the switch."""
