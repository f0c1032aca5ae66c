"""What somebody meant who typed no command of ours: another platform's name for it, its verb alone, a near spelling."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

_ALIKE = 0.7  # of 1.0, the same word

_OF_APPS = {"start", "stop", "restart"}  # of the server here; elsewhere of an app

_LISTS = {"list", "ls", "show", "all", "report", "inspect", "keys"}  # verbs for what the noun alone does here

# What Heroku, Dokku, piku and people's hands say for it.
_ELSEWHERE = {
    "apps:delete": "apps:destroy", "apps:remove": "apps:destroy", "delete": "apps:destroy", "remove": "apps:destroy",
    "apps:report": "apps:info", "apps:show": "apps:info",
    "list": "apps", "ls": "apps",
    "env": "config", "vars": "config", "env:set": "config:set",
    "bash": "run", "sh": "run", "console": "run", "run:bash": "run",
    "exec": "enter", "shell": "enter", "ssh": "enter", "ps:exec": "enter",
    "tail": "logs", "logs:failed": "builds:output", "builds:log": "builds:output", "builds:logs": "builds:output",
    "history": "releases", "releases:rollback": "rollback",
    "deploy": "ps:rebuild", "redeploy": "ps:rebuild", "builds:create": "ps:rebuild",
    "ps:status": "ps",
    "domains:set": "domains:add", "domains:delete": "domains:remove", "domains:clear": "domains:remove",
    "certs": "certificates", "certs:auto": "certificates", "certs:info": "certificates", "letsencrypt": "certificates",
    "users": "access", "ssh-keys": "keys", "ssh-keys:add": "keys:add", "ssh-keys:remove": "keys:remove",
    "ssh-keys:list": "keys",
}  # fmt: skip

# Options as Heroku, Dokku, docker and tail have them, and what they are here, where a command has it.
_OPTIONS = {"--json": ("--format=json",), "--follow": ("--tail",), "-f": ("--tail",), "--num": ("--lines", "--limit")}


def in_our_words(args: Sequence[str], known: Collection[str]) -> list[str]:
    """The arguments of a command that has the options `known`, with other platforms' options in our words. What follows
    `--` is left alone."""
    end = args.index("--") if "--" in args else len(args)
    return [*(_translated(arg, known) for arg in args[:end]), *args[end:]]


def _translated(arg: str, known: Collection[str]) -> str:
    name, equals, value = arg.partition("=")
    ours = [option for option in _OPTIONS.get(name, ()) if option.partition("=")[0] in known]
    return f"{ours[0]}{equals}{value}" if ours and name not in known else arg


def suggestion(names: Collection[str], words: Sequence[str], program: str) -> str:
    """What to type instead of these words, the first of which is no command."""
    first, *rest = words
    noun, _, verb = first.partition(":")
    verbs = [name for name in names if name.startswith(f"{noun}:")]
    said = verb or "".join(rest[:1])  # `git st hello` is `git:st hello`
    meant = _meant(names, first, rest) or (_near(said, verbs) if said else None)
    if not meant and verbs:
        return f"{noun} has: {', '.join(verbs)}"
    meant = meant or (noun if verb and noun in names else _spelt(names, first, rest))
    return f"Did you mean {meant}?" if meant else f"List them: {program} help"


def verb_meant(names: Collection[str], noun: str, word: str) -> str | None:
    """`config sett hello A=b` is parsed as `config` of an app "sett"; what was meant is `config:set`."""
    if word in _LISTS:
        return noun
    return _near(word, [name for name in names if name.startswith(f"{noun}:")], cutoff=0.8)


def of_an_app(name: str, program: str) -> str:
    """Where this is a command of the server, what does the same with an app; else nothing."""
    return f"With an app: {program} ps:{name} APP" if name in _OF_APPS else ""


def _meant(names: Collection[str], first: str, rest: Sequence[str]) -> str | None:
    for tried in [f"{first}:{word}" for word in rest[:1]] + [first]:
        noun, _, verb = tried.rpartition(":")
        if tried in _ELSEWHERE:
            return _ELSEWHERE[tried]
        if verb in _LISTS and noun in names:
            return noun
        if noun in _ELSEWHERE:
            ours = _ELSEWHERE[noun]
            return f"{ours}:{verb}" if f"{ours}:{verb}" in names else ours
    return next((name for name in names if name.endswith(f":{first}")), None)


def _near(verb: str, names: Collection[str], cutoff: float = _ALIKE) -> str | None:
    by_verb = {name.partition(":")[2]: name for name in names}
    near = difflib.get_close_matches(verb, by_verb, n=1, cutoff=cutoff)
    return by_verb[near[0]] if near else None


def _spelt(names: Collection[str], first: str, rest: Sequence[str]) -> str | None:
    """Noun and verb together say more than the first of them; but what comes second may as well be an app."""
    for word in rest[:1]:
        for name in difflib.get_close_matches(f"{first}:{word}", names, n=1, cutoff=_ALIKE):
            if difflib.get_close_matches(word, [name.partition(":")[2]], cutoff=_ALIKE):
                return name
    near = difflib.get_close_matches(first, names, n=1, cutoff=_ALIKE)
    return near[0] if near else None
