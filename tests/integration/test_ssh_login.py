"""Who gets in, and what those are told who do not."""

from __future__ import annotations

import base64
import subprocess
import time

import paramiko
import pytest

from gitpaas.ssh import hostkey, keys
from gitpaas.store import Key

pytestmark = [pytest.mark.needs("git"), pytest.mark.needs("ssh")]


def public(private):
    return keys.parse(private.with_suffix(".pub").read_text())


def test_a_known_key_logs_in_under_any_user_name(door):
    done = door.ssh("apps", "-v").ok()

    assert done.out == "apps -v for laptop (admin)\n"
    assert done.err == ""


@pytest.mark.parametrize(("kind", "bits"), [("ecdsa", 256), ("ecdsa", 521), ("rsa", 2048), ("rsa", 3072)])
def test_every_strong_kind_of_key_logs_in(door, kind, bits):
    door.add_key("other", "deploy", kind, bits)

    assert door.ssh("apps", key="other").ok().out == "apps for other (deploy)\n"


def test_a_weak_rsa_key_is_refused_even_when_it_is_in_the_database(door):
    private = door.new_key("weak", "rsa", 1024)
    line = " ".join(private.with_suffix(".pub").read_text().split()[:2])
    weak = keys.PublicKey("ssh-rsa", base64.b64decode(line.split()[1]))
    with door.store.session():
        Key.create(name="weak", fingerprint=weak.fingerprint, line=line, role="admin")

    done = door.ssh("apps", key="weak", options=["-oRequiredRSASize=1024"]).failed(255)

    assert "has only 1024 bits" in done.err


def test_rsa_signatures_with_sha1_are_refused(door):
    door.add_key("old", kind="rsa", bits=2048)

    door.ssh("apps", key="old", options=["-oPubkeyAcceptedAlgorithms=ssh-rsa"]).failed(255)


def test_an_unknown_key_is_told_its_fingerprint_and_how_an_admin_adds_it(door):
    key = public(door.new_key("stranger"))

    done = door.ssh("apps", key="stranger").failed(255)

    assert key.fingerprint in done.err
    assert "gitpaas keys:add NAME FILE" in done.err
    assert f"echo '{key.line}' | gitpaas keys:add NAME -" in done.err
    assert "Permission denied (publickey)" in done.err


def test_git_push_with_an_unknown_key_shows_the_same(door, work):
    key = public(door.new_key("stranger"))
    work.key = "stranger"

    done = work.push("main").failed()

    assert key.fingerprint in done.err
    assert "gitpaas keys:add NAME FILE" in done.err
    assert not door.apps.made


def test_who_has_an_unknown_key_besides_a_known_one_is_told_once_at_most(door):
    key = public(door.new_key("stranger"))
    two = f"-oIdentityFile={door.desk / 'stranger'}"

    first = door.ssh("apps", options=[two]).ok()
    second = door.ssh("apps", options=[two]).ok()

    assert key.fingerprint in first.err
    assert second.err == ""


def test_a_kind_of_key_the_server_does_not_take_leaves_the_next_one_its_turn(door):
    """paramiko alone would hang up at the first certificate or security key."""
    ca, stranger = door.new_key("ca"), door.new_key("stranger")
    signed = [f"{stranger}.pub", f"{door.desk / 'laptop'}.pub"]
    subprocess.run(["ssh-keygen", "-q", "-s", ca, "-I", "ann", "-n", "x", *signed], check=True)
    door.remove_key("laptop")
    late = door.add_key("late")

    done = door.ssh("apps", options=[f"-oIdentityFile={stranger}", f"-oIdentityFile={late}"]).ok()

    assert "'ssh-ed25519-cert-v01@openssh.com' are not accepted here" in done.err


@pytest.mark.parametrize("method", ["password", "none", "keyboard-interactive"])
def test_nothing_but_keys(door, method):
    client = paramiko.Transport(("127.0.0.1", door.server.port))
    client.start_client(timeout=60)

    with pytest.raises(paramiko.BadAuthenticationType) as refused:
        if method == "password":
            client.auth_password("root", "secret")
        elif method == "none":
            client.auth_none("root")
        else:
            client.auth_interactive("root", lambda *_: [])

    assert refused.value.allowed_types == ["publickey"]
    client.close()


def test_the_right_public_key_without_its_private_half_does_not_log_in(door):
    owned = paramiko.Ed25519Key(filename=str(door.desk / "laptop"))
    mine = paramiko.Ed25519Key(filename=str(door.new_key("mine")))
    owned.sign_ssh_data = mine.sign_ssh_data
    client = paramiko.Transport(("127.0.0.1", door.server.port))
    client.start_client(timeout=60)

    with pytest.raises(paramiko.AuthenticationException):
        client.auth_publickey("root", owned)
    client.close()


def test_a_removed_key_does_not_log_in(door):
    door.add_key("leaver")
    door.ssh("apps", key="leaver").ok()
    door.remove_key("leaver")

    door.ssh("apps", key="leaver").failed(255)


def test_a_removed_key_starts_nothing_more_on_a_connection_it_has_open(door, monkeypatch):
    monkeypatch.setattr("gitpaas.ssh.watch.Watch.look", lambda _: None)  # it would be closed any moment
    private = door.add_key("leaver")
    client = paramiko.Transport(("127.0.0.1", door.server.port))
    client.connect(username="x", pkey=paramiko.Ed25519Key(filename=str(private)))
    door.remove_key("leaver")

    channel = client.open_session()
    channel.exec_command("apps")

    assert channel.recv_exit_status() == 3
    assert b"has been removed" in channel.recv_stderr(1000)
    client.close()


def test_a_changed_role_counts_from_the_next_session(door):
    door.add_key("junior", "read")
    with door.store.session():
        Key.update(role="deploy").where(Key.name == "junior").execute()

    assert door.ssh("x", key="junior").ok().out == "x for junior (deploy)\n"


def test_the_last_use_of_a_key_is_noted_at_most_once_a_minute(door):
    door.ssh("apps").ok()
    with door.store.session():
        noted = Key.get(Key.name == "laptop").used_at
        assert Key.get(Key.name == "laptop").used_from == "127.0.0.1"
    assert abs(noted - time.time()) < 60

    door.ssh("apps").ok()

    with door.store.session():
        assert Key.get(Key.name == "laptop").used_at == noted


def test_the_host_key_stays_the_same(config, tmp_path):
    path = tmp_path / "host_key"
    first = hostkey.ensure(path)

    assert hostkey.ensure(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert first.line.startswith("ssh-ed25519 AAAA")
    assert first.fingerprint.startswith("SHA256:")


def test_only_strong_algorithms_are_offered(door):
    done = door.ssh("x", options=["-v", "-oCiphers=aes128-gcm@openssh.com"]).ok()
    assert "cipher: aes128-gcm@openssh.com" in done.err

    for weak in (
        "-oCiphers=aes128-cbc",
        "-oKexAlgorithms=diffie-hellman-group14-sha256",
        "-oHostKeyAlgorithms=rsa-sha2-256",
    ):
        done = door.ssh("x", options=[weak]).failed(255)
        assert "no match" in done.err
