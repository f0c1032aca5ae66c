"""Small rules of the SSH room: who waits, who is told what, which names are sane."""

from __future__ import annotations

import pytest

from gitpaas.errors import UsageError
from gitpaas.git.repository import Move
from gitpaas.ssh import git, refs
from gitpaas.ssh.keys import PublicKey
from gitpaas.ssh.lobby import MOST_OF_ONE, Lobby
from gitpaas.ssh.strangers import Strangers


class Guest:
    def __init__(self, address="a", key=None):
        self.address = address
        self.key = key or self
        self.gone = False

    def disconnect(self):
        self.gone = True


def test_when_too_many_wait_the_oldest_of_the_busiest_address_goes():
    lobby = Lobby(grace=60, room=3)
    other, first, second, third = Guest("b"), Guest(), Guest(), Guest()
    for guest in (other, first, second, third):
        lobby.enter(guest)

    assert [guest.gone for guest in (other, first, second, third)] == [False, True, False, False]


def test_who_has_logged_in_makes_room_and_is_not_late():
    lobby = Lobby(grace=-1, room=1)
    inside, waiting = Guest(), Guest()
    lobby.enter(inside)
    lobby.has_logged_in(inside)
    lobby.enter(waiting)

    lobby.show_out_the_late()

    assert (inside.gone, waiting.gone) == (False, True)


def test_the_house_is_full_at_some_point():
    lobby = Lobby(grace=60, room=1)
    guests = [Guest() for _ in range(600)]
    taken = 0
    for guest in guests:
        taken += lobby.enter(guest)
        lobby.has_logged_in(guest)

    assert taken == 513
    lobby.leave(guests[0])
    assert lobby.enter(Guest())


def test_nobody_takes_the_house_for_themselves():
    lobby = Lobby(grace=60, room=1)
    many, other = [Guest(key="read") for _ in range(MOST_OF_ONE + 1)], Guest(key="admin")
    answers = []
    for guest in (*many, other):
        assert lobby.enter(guest)
        answers.append(lobby.has_logged_in(guest))

    assert answers == [*[True] * MOST_OF_ONE, False, True]
    lobby.leave(many[0])
    lobby.enter(many[-1])
    assert lobby.has_logged_in(many[-1])


def test_a_stranger_is_told_unless_it_came_along_with_a_known_key():
    strangers = Strangers()
    key = PublicKey("ssh-ed25519", b"blob")
    assert key.fingerprint in (strangers.refusal(key) or "")

    strangers.came_along([key.fingerprint])

    assert strangers.refusal(key) is None


def test_a_long_key_is_not_offered_for_copying():
    assert "or pastes it" not in (Strangers().refusal(PublicKey("ssh-rsa", RSA_3072)) or "")


RSA_3072 = b"\0\0\0\x07ssh-rsa\0\0\0\x03\x01\0\x01\0\0\x01\x80" + b"\x7f" * 384


@pytest.mark.parametrize(
    ("argv", "service", "app"),
    [
        (["git-receive-pack", "hello"], "receive-pack", "hello"),
        (["git-receive-pack", "/hello.git"], "receive-pack", "hello"),
        (["git", "receive-pack", "hello/"], "receive-pack", "hello"),
        (["git-upload-pack", "/hello"], "upload-pack", "hello"),
        (["git", "upload-archive", "hello.git/"], "upload-archive", "hello"),
    ],
)
def test_what_git_asks_for(argv, service, app):
    assert git.parse(argv) == (service, app)


@pytest.mark.parametrize("argv", [["git-receive-pack"], ["git-receive-pack", "a", "b"], ["git-receive-pack", "//a"]])
def test_what_git_never_asks_for(argv):
    with pytest.raises(UsageError):
        git.parse(argv)


def test_culprits_are_found_among_many():
    moves = [Move(f"refs/tags/t{number}", "0" * 40, "1" * 40) for number in range(1000)]
    bad = {moves[3], moves[500], moves[999]}
    asked = []

    def attempt(some):
        asked.append(len(some))
        return "bad" if bad.intersection(some) else None

    verdicts = refs.divide(moves, attempt)

    assert {move for move, reason in verdicts.items() if reason} == bad
    assert len(asked) < 70


def test_the_same_ref_twice_is_refused():
    one, two = Move("refs/heads/x", "0" * 40, "1" * 40), Move("refs/heads/x", "0" * 40, "2" * 40)

    assert refs.judge_names([one, two]) == {one: None, two: "multiple updates for ref not allowed"}
