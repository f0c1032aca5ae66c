"""config: values are seen by those who may deploy, and by nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from callers import Answer, Caller

from gitpaas import deploy
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


def test_a_port_of_the_users_own_is_explained(deployer: Caller) -> None:
    assert "A web process never sees this PORT" in deployer("config:set", "hello", "PORT=3000").out
    assert "never sees" not in deployer("config:unset", "hello", "PORT").out


def test_unset(deployer: Caller) -> None:
    deployer("config:set", "hello", "A=1", "B=2")

    assert deployer("config:unset", "hello", "A").out == "Unset A. The next release will see it.\n"
    assert deployer("config", "hello").out == "B=2\n"
    assert deployer("config:unset", "hello", "A").err.startswith(" !     hello has no config var 'A'.")


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


def test_a_value_that_lost_its_quotes_is_not_repeated(deployer: Caller) -> None:
    answer = deployer("config:set", "hello", "TOKEN=abc", "s3cret")

    assert answer.code == 2
    assert "s3cret" not in answer.out + answer.err
    assert "quotes twice" in answer.err


def test_without_the_app(deployer: Caller) -> None:
    assert deployer("config:set", "A=1", "B=2").err.startswith(" !     Which app?")


def test_an_empty_list_says_how_to_fill_it(reader: Caller) -> None:
    assert "config:set hello NAME=VALUE" in reader("config", "hello").out


def test_a_new_key(admin: Caller, deployer: Caller, config: Config) -> None:
    deployer("config:set", "hello", "TOKEN=s3cret")
    before = config.secret_key.read_bytes()

    assert deployer("config:rekey").code == 3
    assert config.secret_key.read_bytes() == before
    answer = admin("config:rekey")

    assert answer.out.startswith(f"1 config vars and those of 0 releases have a new key: {config.secret_key}\n")
    assert config.secret_key.read_bytes() != before
    assert deployer("config:get", "hello", "TOKEN").out == "s3cret\n"


def test_a_new_key_while_the_database_is_busy(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "tidy", lambda _: False)

    assert "Do it once more" in admin("config:rekey").out


def test_with_a_release_the_change_goes_live(deployer: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Mapping[str, str | None], bool]] = []

    def set_config(platform: Any, app: App, changes: Mapping[str, str | None], *_: Any, restart: bool) -> Any:
        asked.append((changes, restart))
        return Release(number=4) if restart else None

    monkeypatch.setattr(deploy, "set_config", set_config)

    assert deployer("config:set", "hello", "A=1").out == "Set A. hello v4 is live.\n"
    assert deployer("config:set", "hello", "A=2", "--no-restart").out == "Set A. The next release will see it.\n"
    assert asked == [({"A": "1"}, True), ({"A": "2"}, False)]
