"""What is a domain, in which form it is kept, and what is said of what is none."""

from __future__ import annotations

import pytest

from gitpaas.apps import domainname
from gitpaas.errors import UsageError

LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("www.example.com", "www.example.com"),
        ("WWW.Example.COM", "www.example.com"),
        ("example.com.", "example.com"),
        ("nas", "nas"),
        ("3com.com", "3com.com"),
        ("1.2.3.4.example.com", "1.2.3.4.example.com"),
        ("r3---sn-x.example.com", "r3---sn-x.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example.", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("XN--Bcher-KVA.example", "xn--bcher-kva.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("日本。jp", "xn--wgv71a.jp"),
        ("\uff45xample\uff0ecom", "example.com"),
        ("*.example.com", "*.example.com"),
        ("*.Bücher.example.", "*.xn--bcher-kva.example"),
        (LONGEST, LONGEST),
        (f"*.{LONGEST[2:]}", f"*.{LONGEST[2:]}"),
    ],
)
def test_a_domain_is_kept_as_the_dns_has_it(text: str, kept: str) -> None:
    assert domainname.parsed(text) == kept
    assert domainname.parsed(kept) == kept


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("https://example.com/x", "'https://example.com/x' is a URL.", "Give the name alone: example.com"),
        ("HTTP://Example.com", "is a URL.", "Give the name alone: example.com"),
        ("https://bücher.example:8443/?a=b#c", "is a URL.", "Give the name alone: xn--bcher-kva.example"),
        ("https://", "is a URL.", "For example: www.example.com"),
        ("http://a_b.com/", "is a URL.", "For example: www.example.com"),
        ("example.com:8080", "more in it than a name", "Give the name alone: example.com"),
        ("*.example.com:80", "more in it than a name", "Give the name alone: *.example.com"),
        ("example.com/", "more in it than a name", "Give the name alone: example.com"),
        ("//example.com", "more in it than a name", "For example: www.example.com"),
        ("example.com?x", "more in it than a name", "Give the name alone: example.com"),
        ("me@example.com", "more in it than a name", "Give the name alone: example.com"),
        ("192.0.2.7", "is an address, not a name", "For example: www.example.com"),
        ("192.0.2.7:80", "is an address, not a name", "For example"),
        ("http://192.0.2.7/", "is an address, not a name", "For example"),
        ("::1", "is an address, not a name", "For example"),
        ("[2001:db8::1]:80", "is an address, not a name", "For example"),
        ("2001:db8::1", "is an address, not a name", "For example"),
        ("192.0.2.300", "ends in a number", "For example"),
        ("example.7", "ends in a number", "For example"),
        ("127.0x1", "ends in a number", "For example"),
        ("7", "ends in a number", "For example"),
        ("", "'' is no name.", "For example"),
        (".", "begins with a dot", "For example"),
        (".example.com", "begins with a dot", "For example"),
        ("a..b", "two side by side", "For example"),
        ("example.com..", "two side by side", "For example"),
        ("*", "a * stands for one whole label", "*.example.com"),
        ("*.", "is no name", "*.example.com"),
        ("*.*.example.com", "a * stands for one whole label", "*.example.com"),
        ("www.*.com", "a * stands for one whole label", "*.example.com"),
        ("*example.com", "a * stands for one whole label", "*.example.com"),
        ("*.com", "would be every name that ends in com", "*.example.com"),
        ("a_b.com", "'_' is in none", "For example"),
        ("a b.com", "' ' is in none", "For example"),
        ("a,b.com", "',' is in none", "For example"),
        ("a\n.com", "is in none", "For example"),
        ("a\0.com", "is in none", "For example"),
        ("%2e.com", "'%' is in none", "For example"),
        ("-a.com", "begins or ends with a dash", "For example"),
        ("a-.com", "begins or ends with a dash", "For example"),
        (f"{'a' * 64}.com", "at most 63 characters, not 64", "For example"),
        (f"a.{LONGEST}", "has 255 characters; a domain has at most 253", "For example"),
        (f"*.{LONGEST}", "has 255 characters; a domain has at most 253", "For example"),
        ("☃.example", "IDNA 2008", "For example"),
        ("xn--a.example", "IDNA 2008", "For example"),
        ("xn--.example", "IDNA 2008", "For example"),
        ("a\u200db.com", "IDNA 2008", "For example"),
        (f"{'ü' * 70}.com", "IDNA 2008", "For example"),
        ("℀.com", "IDNA 2008", "For example"),
        ("\udcff.com", "IDNA 2008", "For example"),
    ],
)
def test_what_is_none_is_told_why_and_what_to_type(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        domainname.parsed(text)

    assert message in refused.value.message
    assert refused.value.hint
    assert hint in refused.value.hint


def test_a_very_long_one_is_not_repeated_whole() -> None:
    with pytest.raises(UsageError) as refused:
        domainname.parsed("a" * 100_000)
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("www.example.com", "www.example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example (bücher.example)"),
        ("*.xn--bcher-kva.example", "*.xn--bcher-kva.example (*.bücher.example)"),
        ("xn--a.example", "xn--a.example"),
    ],
)
def test_both_forms_are_shown_where_they_differ(name: str, shown: str) -> None:
    assert domainname.shown(name) == shown


def test_a_wildcard_is_one_label_deep() -> None:
    assert domainname.wildcard_over("www.example.com") == "*.example.com"
    assert domainname.wildcard_over("a.b.example.com") == "*.b.example.com"
    assert domainname.wildcard_over("*.example.com") == "*.example.com"
