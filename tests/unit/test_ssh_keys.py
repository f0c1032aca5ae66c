"""Public keys as they come out of files and clipboards."""

from __future__ import annotations

import base64
import struct

import pytest

from gitpaas.errors import UsageError
from gitpaas.ssh import keys

# ssh-keygen -l -f: 256 SHA256:tx8AQxBJfiFPtFbtF7B8ZJGmqxbpMrDL5gPOJsC2nWU (ED25519)
LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"


def blob(*fields: bytes) -> str:
    return base64.b64encode(b"".join(struct.pack(">I", len(field)) + field for field in fields)).decode()


def test_a_line_with_and_without_comment_is_the_same_key():
    assert keys.parse(f"{LINE} ann@laptop\n") == keys.parse(LINE)
    assert keys.parse(f"  {LINE}\tAnn's old laptop ").line == LINE


def test_the_fingerprint_is_what_ssh_keygen_prints(tmp_path):
    assert keys.parse(LINE).fingerprint.startswith("SHA256:")
    assert len(keys.parse(LINE).fingerprint) == len("SHA256:") + 43


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a public key"),
        ("ssh-ed25519", "not a public key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA", "not a public key"),
        ("ssh-ed25519 not!base64", "damaged"),
        (LINE[:-8], "damaged"),
        (f"ssh-ed25519 {blob(b'ssh-ed25519')}", "damaged"),
        (f"ssh-ed25519 {blob(b'ssh-rsa', b'e', b'n')}", "not the one it begins with"),
        (f"ssh-dss {blob(b'ssh-dss', b'p', b'q', b'g', b'y')}", "'ssh-dss' are not accepted"),
        (f"ssh-rsa {blob(b'ssh-rsa', b'e')}", "damaged"),
        (f"ssh-rsa {blob(b'ssh-rsa', b'3', b'0' * 128)}", "only 1022 bits"),
        (f"ssh-ed25519-cert-v01@openssh.com {blob(b'ssh-ed25519-cert-v01@openssh.com', b'x')}", "not accepted"),
    ],
)
def test_what_is_no_strong_public_key_is_refused_in_words(text, said):
    with pytest.raises(UsageError) as refused:
        keys.parse(text)

    assert said in refused.value.message


def test_an_rsa_key_of_2048_bits_is_strong_enough():
    text = f"ssh-rsa {blob(b'ssh-rsa', bytes([1, 0, 1]), bytes([0, 0x80]) + bytes(255))}"

    assert keys.parse(text).kind == "ssh-rsa"
