"""What may be a name and what a value, decided once at the door."""

from __future__ import annotations

import pytest

from gitpaas.errors import UsageError
from gitpaas.names import app_name, process_name, variable_name, variable_value
from gitpaas.values import Secret


@pytest.mark.parametrize("name", ["a", "hello", "my-app-2", "0", "x" * 63])
def test_a_dns_label_is_an_app_name(name: str) -> None:
    assert app_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a/b", "..", "ä", "a b", "a\0", "a\n", "x" * 64])
def test_nothing_else_is(name: str) -> None:
    with pytest.raises(UsageError):
        app_name(name)


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "A\n"])
def test_a_config_var_has_the_name_of_an_environment_variable(name: str) -> None:
    with pytest.raises(UsageError):
        variable_name(name)


@pytest.mark.parametrize("value", ["", "two words", "several\nlines", "ünïcode"])
def test_a_value_is_any_text(value: str) -> None:
    assert variable_value(value) == value


@pytest.mark.parametrize("value", ["a\0b", "\udc80", "x" * 200_000])
def test_a_value_that_no_process_can_be_given_is_refused(value: str) -> None:
    with pytest.raises(UsageError):
        variable_value(value)


@pytest.mark.parametrize("name", ["", "-web", "a b", "../x", "x" * 64])
def test_a_process_type_is_one_plain_word(name: str) -> None:
    with pytest.raises(UsageError):
        process_name(name)


def test_a_secret_never_shows_itself() -> None:
    secret = Secret("hunter2")
    assert f"{secret} {secret!r} {[secret]}" == "[REDACTED] [REDACTED] [[REDACTED]]"
    assert secret.reveal() == "hunter2"
