"""config: values are seen by those who may deploy, and by nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from callers import Answer, Caller

from gitpaas import deploy
from gitpaas.apps import configvars
from gitpaas.config import Config
from gitpaas.store import App, Release, Store


@pytest.fixture(autouse=True)
def hello(operator: Caller) -> None:
    operator("apps:create", "hello")


def test_set_get_and_list(deployer: Caller) -> None:
    assert deployer("config:set", "hello", "URL=postgres://x?a=b", "EMPTY=") == Answer(
        0, "Set URL, EMPTY. The next release will see it.\n", ""
    )
    assert deployer("config:get", "hello", "URL") == Answer(0, "postgres://x?a=b\n", "")
    assert deployer("config", "hello").out == "EMPTY=\nURL=postgres://x?a=b\n"
    assert deployer("config", "hello", "--format", "json").json == {"EMPTY": "", "URL": "postgres://x?a=b"}
    assert deployer("config:get", "hello", "URL", "--format", "json").json == {"URL": "postgres://x?a=b"}


def test_a_reader_sees_names_only(deployer: Caller, reader: Caller) -> None:
    deployer("config:set", "hello", "TOKEN=s3cret")

    assert reader("config", "hello") == Answer(0, "TOKEN\n", "")
    assert reader("config", "hello", "--format", "json").json == {"TOKEN": None}
    assert reader("config:get", "hello", "TOKEN").code == 3


@pytest.mark.parametrize("name", ["PORT", "GITPAAS_COMMIT", "GITPAAS_ANYTHING"])
def test_what_the_platform_provides_cannot_be_set(deployer: Caller, name: str) -> None:
    asked = (("config:set", "hello", f"{name}=1"), ("config:set", "hello", name), ("config:import", "hello"))
    for words in asked:
        answer = deployer(*words, stdin=f"A=1\n{name}=1\n".encode())
        assert (answer.code, name in answer.err) == (2, True)
    assert deployer("config", "hello", "--format", "json").json == {}


def test_what_an_older_server_let_people_set_stays_and_can_go(deployer: Caller) -> None:
    app = App.get(App.name == "hello")
    configvars.change(deployer.platform, app, {"PORT": "5000"})

    assert deployer("config", "hello").out == "PORT=5000\n"
    assert deployer("config:unset", "hello", "PORT").code == 0


def test_a_value_from_standard_input(deployer: Caller) -> None:
    answer = deployer("config:set", "hello", "CERT", stdin=b"-----BEGIN\n'a' $b \xc3\xa4\n\n")

    assert (answer.code, answer.out) == (0, "Set CERT. The next release will see it.\n")
    assert "Reading the value of CERT" in answer.err
    assert deployer("config:get", "hello", "CERT").out == "-----BEGIN\n'a' $b ä\n\n"


def test_what_one_app_prints_is_another_ones_input(deployer: Caller) -> None:
    deployer("apps:create", "other")
    value = "two\nlines\n"
    deployer("config:set", "hello", f"A={value}")
    deployer("config:set", "other", "A", stdin=deployer("config:get", "hello", "A").out.encode())

    assert deployer("config:get", "other", "A", "--format", "json").json == {"A": value}


@pytest.mark.parametrize(("stdin", "told"), [(b"", "nothing on standard"), (b"\n", "nothing"), (b"\xff", "not UTF-8")])
def test_an_input_that_is_no_value(deployer: Caller, stdin: bytes, told: str) -> None:
    answer = deployer("config:set", "hello", "A", stdin=stdin)

    assert (answer.code, told in answer.err) == (2, True)
    assert deployer("config", "hello", "--format", "json").json == {}


def test_at_a_terminal_nobody_types_a_secret(deployer: Caller) -> None:
    answer = replace(deployer, tty=True)("config:set", "hello", "A", stdin=b"x")

    assert (answer.code, "config:set hello A < FILE" in answer.err) == (2, True)


def test_a_file_and_pairs_that_go_over_it(operator: Caller, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# ours\nexport A=1\nB='two\nlines' # why\n")

    assert operator("config:set", "hello", "--file", str(tmp_path / ".env"), "A=2", "C=3").code == 0
    assert operator("config", "hello", "--format", "json").json == {"A": "2", "B": "two\nlines", "C": "3"}


def test_files_over_ssh_come_on_standard_input(deployer: Caller, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\n")

    for words in (("config:set", "hello", "--file"), ("config:import", "hello")):
        answer = deployer(*words, str(tmp_path / ".env"))
        assert (answer.code, "config:import hello --format env < FILE" in answer.err) == (2, True)
        assert deployer(*words, "-", stdin=b"A=1\n").code == 0
    assert deployer("config:get", "hello", "A").out == "1\n"


def test_an_import_is_all_or_nothing(deployer: Caller) -> None:
    answer = deployer("config:import", "hello", stdin=b"A=1\n\nB=s3cret and 'more\nC='s3cret\n")

    assert answer == Answer(
        2, "", " !     line 4: it is not NAME=VALUE; a value with quotes or of several lines needs quotes.\n"
        " !     Nothing was changed.\n"
    )  # fmt: skip
    assert deployer("config", "hello", "--format", "json").json == {}


def test_an_import_keeps_the_others_unless_told(deployer: Caller) -> None:
    deployer("config:set", "hello", "OLD=1")

    assert deployer("config:import", "hello", "--format", "json", stdin=b'{"A": "1"}').code == 0
    assert deployer("config", "hello", "--format", "json").json == {"A": "1", "OLD": "1"}
    answer = deployer("config:import", "hello", "--replace", stdin=b"B=2")
    assert answer.out == "Set B and no others. The next release will see it.\n"
    assert deployer("config", "hello", "--format", "json").json == {"B": "2"}


def test_nothing_to_import_unsets_nothing(deployer: Caller) -> None:
    deployer("config:set", "hello", "A=1")

    for text in (b"", b"# only words\n"):
        assert deployer("config:import", "hello", "--replace", stdin=text).code == 2
    assert deployer("config:import", "hello", "--replace", "--format", "json", stdin=b"{}").code == 2
    assert deployer("config:get", "hello", "A").out == "1\n"


@pytest.mark.parametrize("style", ["env", "json"])
def test_what_is_exported_is_what_is_imported(deployer: Caller, style: str) -> None:
    deployer("apps:create", "other")
    deployer("config:set", "hello", "A=it's", "B=two\nlines\\", 'C="$x" #`y`', "D=", "E=ä ")
    text = deployer("config:export", "hello", "--format", style).out

    assert deployer("config:import", "other", "--format", style, stdin=text.encode()).code == 0
    was, now = (deployer("config", app, "--format", "json").json for app in ("hello", "other"))
    assert (was, len(was)) == (now, 5)


def test_what_no_release_has_yet_is_said_beside_the_list(reader: Caller) -> None:
    app = App.get(App.name == "hello")
    configvars.change(reader.platform, app, {"A": "1"})
    config = configvars.sealed(reader.platform, app)
    Release.create(app=app, number=1, description="Deploy", artifact="{}", config=config, status="live", by="alice")
    App.update(release=1).execute()
    assert reader("config", "hello") == Answer(0, "A\n", "")

    configvars.change(reader.platform, app, {"A": "2", "B": "1"})
    assert reader("config", "hello") == Answer(0, "A\nB\n", "Not live yet, for the next release: A, B\n")


def test_a_reader_exports_nothing(reader: Caller) -> None:
    assert reader("config:export", "hello").code == 3


def test_a_list_shows_each_var_on_one_line(deployer: Caller) -> None:
    deployer("config:set", "hello", "A=x\nB=2", "C= x", "D=\x1b[2J", 'E="x"', 'F={"a": "ä"}')

    assert deployer("config", "hello").out.splitlines() == [
        r'A="x\nB=2"',
        'C=" x"',
        r'D="\u001b[2J"',
        r'E="\"x\""',
        'F={"a": "ä"}',
    ]


def test_unset(deployer: Caller) -> None:
    deployer("config:set", "hello", "A=1", "B=2")

    assert deployer("config:unset", "hello", "A").out == "Unset A. The next release will see it.\n"
    assert deployer("config", "hello").out == "B=2\n"
    assert deployer("config:unset", "hello", "A").err == (
        " !     hello has no config var 'A'.\n !     List them: ssh paas config hello\n"
    )


def test_what_is_not_there_suggests_the_near_one(deployer: Caller) -> None:
    deployer("config:set", "hello", "DATABASE_URL=x")

    answer = deployer("config:get", "hello", "DATABASE_ULR")
    assert answer == Answer(
        1, "", " !     hello has no config var 'DATABASE_ULR'.\n !     Did you mean DATABASE_URL?\n"
    )


@pytest.mark.parametrize("text", ["1A=x", "A B=x", "=x", "A-B=x", "Ä=x", f"{'A' * 256}=x"])
def test_names_that_no_process_could_read(deployer: Caller, text: str) -> None:
    assert deployer("config:set", "hello", text).code == 2
    assert deployer("config", "hello", "--format", "json").json == {}


def test_a_name_given_twice_changes_nothing(deployer: Caller) -> None:
    assert deployer("config:set", "hello", "A=1", "B=2", "A=3").err.startswith(" !     A is given twice.\n")
    assert deployer("config", "hello", "--format", "json").json == {}


def test_a_value_that_lost_its_quotes_is_not_repeated(deployer: Caller) -> None:
    answer = deployer("config:set", "hello", "TOKEN=abc", "s3cret")

    assert answer.code == 2
    assert "s3cret" not in answer.out + answer.err
    assert "quotes twice" in answer.err


def test_without_the_app_or_anything_to_set(deployer: Caller) -> None:
    assert deployer("config:set", "hello").err.startswith(" !     Set what?")
    assert deployer("config:set", "A=1", "B=2").err.startswith(" !     Which app?")


def test_an_empty_list_says_how_to_fill_it(reader: Caller) -> None:
    assert "config:set hello NAME=VALUE" in reader("config", "hello").out


def test_a_new_key(admin: Caller, deployer: Caller, config: Config) -> None:
    deployer("config:set", "hello", "TOKEN=s3cret")
    before = config.secret_key.read_bytes()

    assert deployer("config:rekey").code == 3
    assert config.secret_key.read_bytes() == before
    answer = admin("config:rekey")

    assert answer.out.startswith("All is sealed with a new key (config vars: 1, releases: 0): ")
    assert config.secret_key.read_bytes() != before
    assert deployer("config:get", "hello", "TOKEN").out == "s3cret\n"


def test_a_new_key_while_the_database_is_busy(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "tidy", lambda _: False)

    assert "Do it once more" in admin("config:rekey").out


def test_with_a_release_the_change_goes_live(deployer: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Mapping[str, str | None], bool]] = []

    def set_config(
        platform: Any, app: App, changes: Mapping[str, str | None], *_: Any, restart: bool, replace: bool
    ) -> Any:
        asked.append((changes, restart))
        return Release(number=4) if restart else None

    monkeypatch.setattr(deploy, "set_config", set_config)

    assert deployer("config:set", "hello", "A=1").out == "Set A. hello v4 is live.\n"
    assert deployer("config:set", "hello", "A=2", "--no-restart").out == "Set A. The next release will see it.\n"
    assert asked == [({"A": "1"}, True), ({"A": "2"}, False)]
