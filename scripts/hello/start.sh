#!/bin/sh
# How it starts in a container, where railpack.json has Debian's python3 installed.
exec python3 app.py
