"""Submodules of a commit: where .gitmodules says they are, and fetching one commit of them into a scratch repository.

The pusher chooses the addresses, so only network protocols are let through (no file paths, no ext:: commands), git
asks nobody for a password, and neither a credential helper nor the ~/.netrc of the server's user answers. Over ssh
nothing is fetched: it would be with the server's own keys, which may open more than whoever pushes may see.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gitpaas import shell
from gitpaas.errors import BuildFailed, CommandFailed

PROTOCOLS = ("https", "git")
DEEPEST = 5
_TIMEOUT = 300.0
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://.+|[^\s:/@-][^\s:/@]*@?[^\s:/]*:(?!:).+")


@dataclass(frozen=True)
class Git:
    """git on the repository that has the submodules."""

    repository: Path
    env: Mapping[str, str]
    protocols: Sequence[str]

    def urls(self, commit: str) -> dict[str, str]:
        """{path: url} as .gitmodules at `commit` says."""
        # No includes: the pusher would choose which of the server's files root reads.
        argv = [*self._here(), "config", "--no-includes", "--null", "--list", "--blob", f"{commit}:.gitmodules"]
        try:
            listing = shell.capture(argv, env=self.env).decode("utf-8", "replace")
        except CommandFailed:  # none, or unreadable: every submodule is then one without an address
            return {}
        return _paths_to_urls(listing)

    def fetch(self, path: str, urls: Mapping[str, str], commit: str, into: Path) -> Path:
        """A bare repository that has `commit`. BuildFailed names the submodule and what to do."""
        url = self._absolute(path, urls.get(path))
        shell.capture(
            ["git", "init", "--quiet", "--bare", f"--object-format={_format(commit)}", str(into)], env=self.env
        )
        try:
            self._fetch(into, "--depth=1", "--", url, commit)
        except CommandFailed:  # a server need not hand out a commit by its name: take all branches and tags
            try:
                self._fetch(into, "--", url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
                shell.capture(["git", f"--git-dir={into}", "cat-file", "-e", f"{commit}^{{commit}}"], env=self.env)
            except CommandFailed as error:
                raise _unreachable(path, url, commit, error) from error
        return into

    def _fetch(self, into: Path, *arguments: str) -> None:
        allowed = [part for name in self.protocols for part in ("-c", f"protocol.{name}.allow=always")]
        options = [
            "-c",
            "protocol.allow=never",
            *allowed,
            "-c",
            "credential.helper=",
            "-c",
            "core.askPass=",
            "-c",
            "gc.auto=0",
        ]
        fetch = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]
        shell.capture(["git", f"--git-dir={into}", *options, *fetch, *arguments], env=self.env, timeout=_TIMEOUT)

    def _absolute(self, path: str, url: str | None) -> str:
        if not url:
            raise _refused(path, "has no address in .gitmodules", "Add it with `git submodule add`, or remove it.")
        if url.startswith(("./", "../")):
            url = _resolved(self._origin(path, url), url)
        if _protocol(url) not in self.protocols:
            allowed = ", ".join(f"{name}://" for name in self.protocols)
            raise _refused(path, f"has an address that is not allowed: {_shown(url)}", f"Use one of: {allowed}")
        return url

    def _origin(self, path: str, url: str) -> str:
        try:
            argv = [*self._here(), "config", "--get", "remote.origin.url"]
            return shell.capture(argv, env=self.env).decode().strip()
        except CommandFailed as error:
            hint = "A push does not say where the repository came from: write the whole address in .gitmodules."
            raise _refused(path, f"has a relative address: {_shown(url)}", hint) from error

    def _here(self) -> list[str]:
        return ["git", f"--git-dir={self.repository}"]


def _paths_to_urls(listing: str) -> dict[str, str]:
    """Of `submodule.NAME.path\\nVALUE\\0`: NAME may have dots and spaces in it."""
    found: dict[str, dict[str, str]] = {}
    for record in listing.split("\0"):
        key, _, value = record.partition("\n")
        if match := re.fullmatch(r"submodule\.(.+)\.(path|url)", key, re.DOTALL):
            found.setdefault(match[1], {})[match[2]] = value
    return {module["path"].rstrip("/"): module["url"] for module in found.values() if len(module) == 2}


def _protocol(url: str) -> str | None:
    """https of https://..., ssh of git@host:path, file of a path; None for what is none of these (ext::...)."""
    match = _ADDRESS.fullmatch(url)
    if match:
        return match[1] or "ssh"
    return "file" if url.startswith("/") else None


def _resolved(origin: str, url: str) -> str:
    """`../lib.git` beside https://host/team/app.git is https://host/team/lib.git, as git resolves it."""
    base, joint = origin.rstrip("/"), "/"
    while url.startswith(("./", "../")):
        step, _, url = url.partition("/")
        if step == "..":
            joint = "/" if "/" in base else ":"
            base = base.rpartition(joint)[0]
    return f"{base}{joint}{url}"


def _shown(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)[:200]


def _format(commit: str) -> str:
    return "sha256" if len(commit) == 64 else "sha1"


def _unreachable(path: str, url: str, commit: str, error: CommandFailed) -> BuildFailed:
    return BuildFailed(
        f"Submodule {path} cannot be fetched: {_shown(url)} at {commit[:12]}",
        step="submodules",
        tail=error.tail,
        hint="Make the address readable for this server and push that commit there, or commit the files instead.",
    )


def _refused(path: str, what: str, hint: str) -> BuildFailed:
    return BuildFailed(f"Submodule {path} {what}", step="submodules", hint=hint)
