"""keys: who may log in. Keys are real ones, made here."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from callers import Answer, Caller
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gitpaas.store import Key

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


def line(
    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
) -> str:
    public = private.public_key()
    return public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def fresh() -> str:
    return line(ed25519.Ed25519PrivateKey.generate())


def people(caller: Caller) -> dict[str, str]:
    return {key["name"]: key["person"] for key in caller("keys", "--format", "json").json}


def keys(caller: Caller) -> dict[str, str]:
    return {key["name"]: key["role"] for key in caller("keys", "--format", "json").json}


def test_the_first_key_is_an_admin_whatever_is_asked(operator: Caller) -> None:
    answer = operator("keys:add", "laptop", "-", "--role", "read", stdin=f"{ED25519} me@laptop\n".encode())

    assert answer.code == 0
    assert answer.out.startswith("laptop may log in as admin (the first key always is): SHA256:")
    assert keys(operator) == {"laptop": "admin"}


def test_later_keys_may_deploy_unless_told_otherwise(operator: Caller) -> None:
    for name, *role in (["a"], ["b"], ["c", "--role", "read"], ["d", "--role", "admin"]):
        operator("keys:add", name, *role, stdin=fresh().encode())

    assert keys(operator) == {"a": "admin", "b": "deploy", "c": "read", "d": "admin"}


def test_a_key_is_a_file_words_or_standard_input(operator: Caller, tmp_path: Path) -> None:
    file = tmp_path / "id.pub"
    file.write_text(f"# mine\n\n{fresh()} me@host\n")

    assert operator("keys:add", "file", str(file)).code == 0
    assert operator("keys:add", "words", *fresh().split(), "comment with words").code == 0
    assert operator("keys:add", "stdin", stdin=fresh().encode()).code == 0
    assert operator("keys:add", "gone", str(tmp_path / "none.pub")).err.startswith(f" !     {tmp_path}/none.pub cannot")


def test_over_ssh_no_file_of_the_server_is_read(operator: Caller, admin: Caller, tmp_path: Path) -> None:
    file = tmp_path / "id.pub"
    file.write_text(fresh())

    answer = admin("keys:add", "laptop", str(file))
    assert answer.code == 2
    assert "ssh paas keys:add NAME < id_ed25519.pub" in answer.err
    assert keys(operator) == {}


def test_a_terminal_is_not_waited_for(operator: Caller) -> None:
    operator.tty = True

    assert operator("keys:add", "laptop").err.startswith(" !     Which key?")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n", "private key"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc", "private key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\n", "private key"),
        ("---- BEGIN SSH2 PUBLIC KEY ----\nabc", "PuTTY"),
        ("", "empty"),
        ("# only a comment\n", "empty"),
        (f"{ED25519}\n{ED25519}\n", "2 lines"),
        (f'command="id" {ED25519}', "options"),
        ("sk-ssh-ed25519@openssh.com AAAA", "security tokens"),
        ("hello world", "damaged"),
        ("hello", "not a public key"),
        ("ssh-ed25519 !!!!", "damaged"),
        ("ssh-rsa " + ED25519.split()[1], "damaged"),
        (ED25519[:-8], "damaged"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAABAAAAAA=", "damaged"),
        (line(rsa.generate_private_key(65537, 1024)), "1024 bits"),
    ],
)
def test_what_is_no_good_key_is_refused_in_words(operator: Caller, text: str, says: str) -> None:
    answer = operator("keys:add", "laptop", "-", stdin=text.encode())

    assert answer.code == 2
    assert says in answer.err
    assert keys(operator) == {}


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_ecdsa_keys_are_welcome(operator: Caller, curve: ec.EllipticCurve) -> None:
    assert operator("keys:add", "laptop", "-", stdin=line(ec.generate_private_key(curve)).encode()).code == 0


def test_long_rsa_keys_are_welcome(operator: Caller) -> None:
    key = line(rsa.generate_private_key(65537, 2048))

    assert operator("keys:add", "laptop", "-", stdin=key.encode()).code == 0


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "x" * 64, "ä", "a\n"])
def test_names_are_plain(operator: Caller, name: str) -> None:
    assert operator("keys:add", "--", name, "-", stdin=ED25519.encode()).code == 2


def test_the_same_again_changes_nothing(operator: Caller) -> None:
    operator("keys:add", "laptop", stdin=ED25519.encode())

    again = operator("keys:add", "laptop", stdin=ED25519.encode())
    assert again.code == 0
    assert again.out.startswith("laptop is there already: SHA256:")


def test_half_of_it_taken_is_a_conflict(operator: Caller) -> None:
    operator("keys:add", "laptop", stdin=ED25519.encode())

    other_name = operator("keys:add", "desktop", stdin=ED25519.encode())
    other_key = operator("keys:add", "laptop", stdin=fresh().encode())
    other_role = operator("keys:add", "laptop", "--role", "read", stdin=ED25519.encode())
    assert other_name == Answer(1, "", " !     That key is there already, as laptop (admin).\n")
    assert other_key.err.startswith(" !     There is another key named laptop: SHA256:")
    assert other_role.err.startswith(" !     laptop is there already, as admin, a key of laptop.")
    assert "keys:set laptop" in other_role.err


def test_the_last_admin_stays(operator: Caller) -> None:
    operator("keys:add", "one", stdin=fresh().encode())
    operator("keys:add", "two", stdin=fresh().encode())

    assert operator("keys:remove", "one").err.startswith(" !     one is the last admin key")
    assert operator("keys:remove", "two") == Answer(0, "two may not log in any more.\n", "")
    operator("keys:add", "three", "--role", "admin", stdin=fresh().encode())
    assert operator("keys:remove", "one").code == 0
    assert keys(operator) == {"three": "admin"}
    assert operator("keys:remove", "one").code == 1


def test_the_list(operator: Caller) -> None:
    assert operator("keys").out == "No keys yet. The first one is an admin: gitpaas keys:add NAME FILE\n"
    operator("keys:add", "laptop", stdin=ED25519.encode())

    heading, row = operator("keys").out.splitlines()
    assert heading.split() == ["NAME", "PERSON", "ROLE", "FINGERPRINT", "USED", "ADDED"]
    assert row.split()[:3] == ["laptop", "laptop", "admin"]
    assert row.split()[3].startswith("SHA256:")
    assert row.split()[4:] == ["never", "just", "now"]


def test_the_list_says_when_and_from_where_a_key_was_used_last(operator: Caller) -> None:
    operator("keys:add", "laptop", stdin=ED25519.encode())
    with operator.platform.store.session():
        Key.update(used_at=time.time() - 3601, used_from="192.0.2.7").execute()

    assert "1h ago from 192.0.2.7" in operator("keys").out
    assert operator("keys", "--format", "json").json[0]["used_from"] == "192.0.2.7"


def test_a_key_is_a_persons(operator: Caller) -> None:
    operator("keys:add", "laptop", "--person", "alice", stdin=ED25519.encode())
    added = operator("keys:add", "desktop", "--person", "alice", "--role", "none", stdin=fresh().encode())

    assert added.out.splitlines()[0].startswith("desktop of alice may log in as none: SHA256:")
    assert added.out.splitlines()[1] == "To let it do something: gitpaas access:add APP alice --role read"
    assert people(operator) == {"laptop": "alice", "desktop": "alice"}
    assert operator("keys:add", "laptop", "--person", "bob", stdin=ED25519.encode()).code == 1
    assert operator("keys:add", "x", "--person", "a b", stdin=fresh().encode()).code == 2


def test_role_and_person_are_changed_without_removing(operator: Caller) -> None:
    operator("keys:add", "one", stdin=fresh().encode())
    operator("keys:add", "two", stdin=fresh().encode())

    changed = operator("keys:set", "two", "--role", "read", "--person", "alice")
    assert changed == Answer(0, "two is a key of alice and may log in as read.\n", "")
    assert (keys(operator)["two"], people(operator)["two"]) == ("read", "alice")
    assert operator("keys:set", "two").code == 2
    assert operator("keys:set", "three", "--role", "read").code == 1


def test_the_last_admin_stays_one(operator: Caller) -> None:
    operator("keys:add", "one", stdin=fresh().encode())
    operator("keys:add", "two", stdin=fresh().encode())

    assert operator("keys:set", "one", "--role", "deploy").err.startswith(" !     one is the last admin key")
    operator("keys:set", "two", "--role", "admin")
    assert operator("keys:set", "one", "--role", "deploy").code == 0
    assert keys(operator) == {"one": "deploy", "two": "admin"}


@pytest.mark.parametrize("how", ["keys:remove", "keys:set --role read", "access:remove --all"])
def test_of_two_admins_that_go_at_the_same_moment_one_stays(operator: Caller, how: str) -> None:
    for name in ("one", "two"):
        operator("keys:add", name, "--role", "admin", stdin=fresh().encode())
        if how.startswith("access"):
            operator("access:add", "--all", name, "--role", "admin")
    if how.startswith("access"):
        with operator.platform.store.session():
            Key.update(role="none").execute()
    command, *rest = how.split()
    together, answers = threading.Barrier(2), []

    def go(name: str) -> None:
        together.wait()
        answers.append(operator(command, name, *rest).code)

    threads = [threading.Thread(target=go, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [0, 1]


def test_what_is_stored_has_no_comment(operator: Caller) -> None:
    operator("keys:add", "laptop", stdin=f"{ED25519} me@secret-host".encode())

    with operator.platform.store.session():
        assert Key.get().line == ED25519
