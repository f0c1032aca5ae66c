"""What a Procfile says, and how it is told when it says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitpaas import procfile
from gitpaas.errors import BuildFailed


def test_each_line_is_a_process_type_in_order() -> None:
    text = "web: gunicorn app:app --bind :$PORT\n\n# comment\nworker:python worker.py\r\nrelease : ./migrate \n"

    processes = procfile.parse(text)

    assert list(processes.items()) == [
        ("web", "gunicorn app:app --bind :$PORT"),
        ("worker", "python worker.py"),
        ("release", "./migrate"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("web: a\npython app.py\n", "line 2: 'python app.py' is not `name: command`"),
        ("web:\n", "line 1: 'web' has no command"),
        ("web: a\nweb: b\n", "line 2: a second 'web'"),
        ("../web: a\n", "line 1: '../web' is not a process type"),
        ("web: a\0b\n", "line 1: a NUL byte"),
    ],
)
def test_what_cannot_be_understood_is_told_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BuildFailed) as caught:
        procfile.parse(text)

    assert said in caught.value.message
    assert caught.value.step == "Procfile"
    assert caught.value.hint


def test_a_tree_without_one_has_none(tmp_path: Path) -> None:
    assert procfile.read(tmp_path) is None


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_bytes(b"\xef\xbb\xbfweb: a\n")

    assert procfile.read(tmp_path) == {"web": "a"}


def test_a_procfile_that_links_out_of_the_tree_is_not_read(tmp_path: Path) -> None:
    outside, tree = tmp_path / "secret", tmp_path / "tree"
    outside.write_text("web: the secret\n")
    tree.mkdir()
    (tree / "Procfile").symlink_to(outside)

    with pytest.raises(BuildFailed, match="leaves the repository"):
        procfile.read(tree)


def test_a_procfile_that_links_to_itself_is_none(tmp_path: Path) -> None:
    (tmp_path / "Procfile").symlink_to("Procfile")

    assert procfile.read(tmp_path) is None


def test_a_procfile_that_is_not_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_bytes(b"web: \xff\xfe\n")

    with pytest.raises(BuildFailed, match="not UTF-8"):
        procfile.read(tmp_path)
