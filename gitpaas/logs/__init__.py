"""Logs: what instances print, collected into one bounded file an app; and a file for each build.

logs/<app>/raw/<instance id>.log   appended to by the instance itself, so a server that dies takes no output along
logs/<app>/raw/gitpaas.log         the platform's own lines about the app
logs/<app>/app.log, app.log.1 ...  both, one line each: `2026-11-23T22:23:24.123456Z web.1 v12 text`
logs/<app>/builds/12.log           a build's output, as the pusher saw it
logs/<app>/releases/12.log         the output of a release's own commands, bounded (by the id of its row)
"""

from gitpaas.logs.build_log import BuildLog, follow_build, read_build
from gitpaas.logs.collect import Collector
from gitpaas.logs.lines import Line, parse, platform_line, remove
from gitpaas.logs.read import follow, tail
from gitpaas.logs.release_log import ReleaseLog
from gitpaas.logs.selection import Selection

__all__ = [
    "BuildLog",
    "Collector",
    "Line",
    "ReleaseLog",
    "Selection",
    "follow",
    "follow_build",
    "parse",
    "platform_line",
    "read_build",
    "remove",
    "tail",
]
