"""Config vars as text: what is written is what is read, by ourselves and by shells; what is unclear names its line."""

from __future__ import annotations

import random
import subprocess

import pytest

from gitpaas.apps import envfile
from gitpaas.errors import UsageError

PIECES = [
    "\n", "\r\n", "\r", "'", '"', "$", "${A}", "#", " # ", "\\", "\\n", "`x`", "=", "ä", "€", "\u2028", " ", "a", "A=b",
]  # fmt: skip
NASTY = [
    "", " ", "a b", " a ", "it's", "it's $5", '"quoted"', "a\nb", "a\nb\\", "\\", "\\'", "'\\", "#", " #x", "x #y",
    "\n", "export A=1", "C:\\dir\\new", "{}", "!history", "~", "*", "a\x1bb", "it's\nmore", "\ufeff",
]  # fmt: skip


def nasty() -> dict[str, str]:
    return {f"V{number}": value for number, value in enumerate(NASTY)}


def anything(seed: int) -> dict[str, str]:
    choose = random.Random(seed)
    return {f"V{i}": "".join(choose.choices(PIECES, k=choose.randrange(9))) for i in range(12)}


@pytest.mark.parametrize("style", ["env", "json"])
@pytest.mark.parametrize("values", [nasty(), *map(anything, range(40))])
def test_what_is_written_is_what_is_read(values: dict[str, str], style: str) -> None:
    assert envfile.parse(envfile.write(values, style), style) == values


@pytest.mark.parametrize("values", [nasty(), *map(anything, range(5))])
def test_a_shell_that_evals_it_has_the_values_and_does_nothing_else(values: dict[str, str]) -> None:
    script = 'eval "$1" && exec env -0'
    argv = ["env", "-i", "sh", "-c", script, "sh", envfile.write(values, "shell")]
    done = subprocess.run(argv, capture_output=True, check=True)

    got = dict(entry.split("=", 1) for entry in done.stdout.decode().split("\0") if entry)
    assert {name: got.get(name) for name in values} == values
    assert done.stderr == b""


def test_plain_values_are_plain_and_quotes_are_those_that_all_understand() -> None:
    values = {"A": "postgres://u:p@h/d", "B": "two words", "C": "it's", "D": "a\nb", "E": ""}
    assert envfile.write(values, "env") == "A=postgres://u:p@h/d\nB='two words'\nC=\"it's\"\nD='a\nb'\nE=\n"


def test_files_as_people_have_them() -> None:
    text = """
    # a comment
    export A=1
    B = two words # why
    C="with \\"quotes\\" and\\nlines"
    D=$HOME/${B}
    E= # nothing
    F=a#b
    """
    assert envfile.parse(text, "env") == {
        "A": "1", "B": "two words", "C": 'with "quotes" and\nlines', "D": "$HOME/${B}", "E": "", "F": "a#b"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A=1\nB", "line 2"),
        ("A=1\n\n\n  s3cret words", "line 4"),
        ("A='1\n2'\nB=\"s3cret", "line 3"),
        ("A='s3cret' more", "line 1"),
        ("A=1\n1B=s3cret", "line 2"),
        ("A=1\nA-B=s3cret", "line 2"),
        ("A=1\nB=2\nA=s3cret", "line 3"),
        ("A=1\nB=s3cret\0", "line 2"),
        ("A=1\nPORT=s3cret", "line 2"),
        (f"A=1\nB={'s3cret' * 20000}", "line 2"),
        ("<html>s3cret</html>", "line 1"),
    ],
)
def test_what_is_off_is_named_by_its_line_and_not_repeated(text: str, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        envfile.parse(text, "env")
    assert caught.value.message.startswith(f"{line}: ")
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"
    assert "Nothing was changed." in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"A": "s3cret"\n,}', "line 2: it is not JSON"),
        ("[" * 100_000, "line 1: it is not JSON"),
        ('["s3cret"]', "the whole of it: "),
        ('{"A": "1", "B": 1.0}', "entry 2: "),
        ('{"A": {"B": "s3cret"}}', "entry 1: "),
        ('{"A": "1", "A": "s3cret"}', "entry 2: A is there already"),
        ('{"A": "1", "B C": "s3cret"}', "entry 2: "),
        ('{"A": "\\ud800"}', "entry 1: "),
    ],
)
def test_json_that_is_off(text: str, where: str) -> None:
    with pytest.raises(UsageError) as caught:
        envfile.parse(text, "json")
    assert caught.value.message.startswith(where)
    assert "s3cret" not in caught.value.message
