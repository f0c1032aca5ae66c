#!/bin/sh
# A site of one page; the platform brings Python only to apps that ask for it, so this one asks the system.
exec python3 -m http.server "$PORT" --bind 127.0.0.1 --directory site
