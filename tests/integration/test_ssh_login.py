"""Who gets in, and what those are told who do not."""

from __future__ import annotations

import pytest

from gitpaas.ssh import keys

pytestmark = [pytest.mark.needs("git"), pytest.mark.needs("ssh")]


def test_a_known_key_logs_in_under_any_user_name(door):
    done = door.ssh("apps", "-v").ok()

    assert done.out == "apps -v for laptop (admin)\n"
    assert done.err == ""


def test_an_unknown_key_is_told_its_fingerprint_and_how_an_admin_adds_it(door):
    private = door.new_key("stranger")
    public = keys.parse(private.with_suffix(".pub").read_text())

    done = door.ssh("apps", key="stranger").failed(255)

    assert public.fingerprint in done.err
    assert "gitpaas keys:add NAME FILE" in done.err
    assert f"echo '{public.line}' | gitpaas keys:add NAME -" in done.err
    assert "Permission denied (publickey)" in done.err


def test_git_push_with_an_unknown_key_shows_the_same(door, work):
    private = door.new_key("stranger")
    work.key = "stranger"

    done = work.push("main").failed()

    assert keys.parse(private.with_suffix(".pub").read_text()).fingerprint in done.err
    assert "gitpaas keys:add NAME FILE" in done.err
    assert not door.apps.made
