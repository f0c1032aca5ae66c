from __future__ import annotations

from gitpaas.commands.table import Column, ago, cut, iso, render

NAME, TEXT, OTHER = Column("NAME"), Column("TEXT", text=True), Column("OTHER", text=True)


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert render((NAME, TEXT), [["a", "short"], ["longer", "x"]], 80) == (
        "NAME    TEXT\n"
        "a       short\n"
        "longer  x"
    )  # fmt: skip


def test_the_widest_text_column_is_cut_to_fit() -> None:
    shown = render((NAME, TEXT, OTHER), [["hello", "a very long subject of a commit", "alice in wonderland"]], 40)

    assert max(map(len, shown.splitlines())) <= 40
    assert shown.splitlines()[1].startswith("hello  a very")
    assert shown.count("…") >= 1


def test_names_are_never_cut() -> None:
    assert "a-name-that-is-long" in render((NAME, TEXT), [["a-name-that-is-long", "y" * 50]], 20)


def test_wide_characters_count_twice_and_combining_ones_not_at_all() -> None:
    shown = render((TEXT, NAME), [["日本語", "x"], ["e\u0301a", "x"]], 80).splitlines()

    assert shown[1] == "日本語  x"
    assert shown[2] == "e\u0301a      x"


def test_control_characters_never_reach_the_terminal() -> None:
    assert "\x1b" not in render((TEXT,), [["\x1b[2Jgone"]], 80)


def test_cut_ends_in_an_ellipsis_within_the_width() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdef", 5) == "abcd…"
    assert cut("日本語日本語", 5) == "日本…"


def test_ages() -> None:
    now = 1_000_000_000.0
    assert [ago(now - age, now) for age in (0.2, 3, 59, 60, 7200, 90_000, 40 * 86400, 800 * 86400)] == [
        "just now", "3s ago", "59s ago", "1m ago", "2h ago", "1d ago", "1mo ago", "2y ago",
    ]  # fmt: skip
    assert ago(None) == "-"
    assert ago(now + 5, now) == "just now"


def test_times_for_machines_are_iso_8601_in_utc() -> None:
    assert iso(1_700_000_000.123) == "2023-11-14T22:13:20.123Z"
    assert iso(None) is None
