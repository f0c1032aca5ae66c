"""domains: what they are added to, who may, what is refused; and what the router is told of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from callers import Answer, Caller

from gitpaas.apps import aliases
from gitpaas.errors import RouterFailed
from gitpaas.store import App, Domain


@pytest.fixture(autouse=True)
def hello(operator: Caller) -> None:
    operator("apps:create", "hello")
    operator("apps:create", "shop")


def known(caller: Caller) -> dict[str, str]:
    """What the router knows."""
    return dict(caller.platform.router.aliases())


def of(caller: Caller, app: str) -> list[str]:
    return [row["domain"] for row in caller("domains", app, "--format", "json").json if not row["own"]]


def with_base(caller: Caller, base: str) -> Caller:
    """The same state directory with another base domain."""
    return replace(caller, platform=replace(caller.platform, config=replace(caller.platform.config, base_domain=base)))


def test_add_list_and_remove(deployer: Caller, reader: Caller) -> None:
    assert deployer("domains:add", "hello", "WWW.Example.com.", "*.example.com") == Answer(
        0,
        "www.example.com is hello's: http://www.example.com:8080, once the DNS has it point to this machine.\n"
        "*.example.com is hello's: http://*.example.com:8080, once the DNS has it point to this machine.\n",
        "",
    )
    assert known(deployer) == {"www.example.com": "hello.localhost", "*.example.com": "hello.localhost"}
    assert reader("domains", "hello").out == (
        "APP    DOMAIN           URL                          ADDED\n"
        "hello  hello.localhost  http://hello.localhost:8080  its own\n"
        "hello  *.example.com    http://*.example.com:8080    just now by alice\n"
        "hello  www.example.com  http://www.example.com:8080  just now by alice\n"
    )

    gone = deployer("domains:remove", "hello", "www.example.com")
    assert gone == Answer(0, "www.example.com is not hello's any more.\n", "")
    assert known(deployer) == {"*.example.com": "hello.localhost"}
    assert of(reader, "hello") == ["*.example.com"]


def test_a_local_name_may_be_made_known_by_hand(deployer: Caller) -> None:
    told = deployer("domains:add", "hello", "laptop.test", "*.laptop.test").out.splitlines()

    assert told[0].endswith("http://laptop.test:8080, once the DNS or /etc/hosts has it point to this machine.")
    assert told[1].endswith("http://*.laptop.test:8080, once the DNS has it point to this machine.")


def test_an_app_without_any_says_how_to_add_one(reader: Caller) -> None:
    assert reader("domains", "hello").out.endswith("More: ssh paas domains:add hello www.example.com\n")


def test_without_an_app_it_lists_those_of_all_that_one_may_see(operator: Caller) -> None:
    operator("domains:add", "hello", "example.com")
    operator("domains:add", "shop", "shop.example.com", "bücher.example")
    guest = operator.over_ssh(None, shop="read")

    rows = [(row["app"], row["domain"], row["own"]) for row in operator("domains", "--format", "json").json]
    assert rows == [
        ("hello", "hello.localhost", True),
        ("hello", "example.com", False),
        ("shop", "shop.localhost", True),
        ("shop", "shop.example.com", False),
        ("shop", "xn--bcher-kva.example", False),
    ]
    assert {row["app"] for row in guest("domains", "--format", "json").json} == {"shop"}
    assert operator.over_ssh(None)("domains", "--format", "json").json == []


def test_a_domain_as_json(deployer: Caller) -> None:
    deployer("domains:add", "hello", "bücher.example")

    own, added = deployer("domains", "hello", "--format", "json").json
    assert own == {
        "app": "hello", "domain": "hello.localhost", "unicode": "hello.localhost", "url": "http://hello.localhost:8080",
        "own": True, "created_at": None, "created_by": None,
    }  # fmt: skip
    assert added.pop("created_at").endswith("Z")
    assert added == {
        "app": "hello", "domain": "xn--bcher-kva.example", "unicode": "bücher.example",
        "url": "http://xn--bcher-kva.example:8080", "own": False, "created_by": "alice",
    }  # fmt: skip


def test_both_forms_of_a_name_in_another_script_are_shown_and_taken(deployer: Caller) -> None:
    added = deployer("domains:add", "hello", "Bücher.example")
    assert added.out.startswith("xn--bcher-kva.example (bücher.example) is hello's: http://xn--bcher-kva.example:8080,")
    assert "xn--bcher-kva.example (bücher.example)" in deployer("domains", "hello").out
    assert deployer("domains:remove", "hello", "bücher.example").code == 0
    assert known(deployer) == {}


def test_the_same_again_is_said_and_changes_nothing(deployer: Caller) -> None:
    deployer("domains:add", "hello", "example.com")

    assert deployer("domains:add", "hello", "EXAMPLE.com") == Answer(0, "example.com is hello's already.\n", "")
    assert deployer("domains:add", "hello", "new.example.com", "example.com", "new.example.com.").out == (
        "new.example.com is hello's: http://new.example.com:8080, once the DNS has it point to this machine.\n"
        "example.com is hello's already.\n"
    )


@pytest.mark.parametrize("bad", ["a_b.com", "taken.example.com", "shop.localhost"])
def test_of_several_all_are_added_or_none(operator: Caller, deployer: Caller, bad: str) -> None:
    operator("domains:add", "shop", "taken.example.com")

    assert deployer("domains:add", "hello", "one.example.com", bad, "two.example.com").code != 0
    assert of(deployer, "hello") == []
    assert known(deployer) == {"taken.example.com": "shop.localhost"}


def test_of_several_all_are_removed_or_none(deployer: Caller) -> None:
    deployer("domains:add", "hello", "one.example.com", "two.example.com")

    assert deployer("domains:remove", "hello", "one.example.com", "three.example.com").code == 1
    assert of(deployer, "hello") == ["one.example.com", "two.example.com"]
    assert deployer("domains:remove", "hello", "one.example.com", "two.example.com", "one.example.com").code == 0
    assert known(deployer) == {}


def test_one_that_is_not_there_is_answered_with_the_nearest(operator: Caller, deployer: Caller) -> None:
    deployer("domains:add", "hello", "www.example.com")
    operator("domains:add", "shop", "shop.test")

    near = deployer("domains:remove", "hello", "ww.example.com")
    assert (near.code, near.err) == (
        1,
        " !     hello has no domain ww.example.com.\n !     Did you mean www.example.com?\n",
    )
    others = deployer("domains:remove", "hello", "shop.test")
    assert others.err == " !     hello has no domain shop.test.\n !     List them: ssh paas domains hello\n"
    assert of(deployer, "shop") == ["shop.test"]


def test_the_apps_own_host_is_neither_added_nor_removed(deployer: Caller) -> None:
    assert "answers there without being told" in deployer("domains:add", "hello", "hello.localhost").err
    assert "stays as long as the app is there" in deployer("domains:remove", "hello", "hello.localhost").err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shop.localhost", "belongs to an app called shop"),
        ("never.localhost", "belongs to an app called never"),
        ("a.shop.localhost", "belongs to an app called shop"),
        ("*.shop.localhost", "belongs to an app called shop"),
        ("*.localhost", "would be every name that ends in localhost"),
    ],
)
def test_names_under_the_base_domain_are_the_apps_own(deployer: Caller, name: str, message: str) -> None:
    refused = deployer("domains:add", "hello", name)

    assert refused.code == 2
    assert message in refused.err
    assert known(deployer) == {}


def test_all_that_is_under_a_base_domain_is_no_apps(operator: Caller) -> None:
    refused = with_base(operator, "apps.example.com")("domains:add", "hello", "*.apps.example.com")

    assert (refused.code, "stands for all apps, those to come among them" in refused.err) == (2, True)


def test_the_base_domain_itself_and_what_is_beneath_its_own_host_an_app_may_have(deployer: Caller) -> None:
    assert deployer("domains:add", "hello", "localhost", "*.hello.localhost", "a.b.hello.localhost").code == 0
    assert set(known(deployer)) == {"localhost", "*.hello.localhost", "a.b.hello.localhost"}


def test_a_domain_is_one_apps_and_who_may_not_see_that_is_not_told_its_name(operator: Caller) -> None:
    operator("domains:add", "shop", "example.com")

    deploys = operator.over_ssh("deploy")("domains:add", "hello", "example.com")
    assert (deploys.code, deploys.err) == (
        1,
        " !     example.com belongs to shop.\n !     First: ssh paas domains:remove shop example.com\n",
    )
    reads = operator.over_ssh(None, hello="deploy", shop="read")("domains:add", "hello", "example.com").err
    assert reads == " !     example.com belongs to shop.\n !     Who may deploy that app can remove it there.\n"
    guest = operator.over_ssh(None, hello="deploy")("domains:add", "hello", "example.com")
    assert (guest.code, "belongs to another app." in guest.err, "shop" in guest.err) == (1, True, False)


def test_one_of_anothers_wildcard_takes_who_may_deploy_both(operator: Caller) -> None:
    operator("domains:add", "shop", "*.example.com", "example.com")
    guest = operator.over_ssh(None, hello="deploy")

    refused = guest("domains:add", "hello", "www.example.com")
    assert refused.code == 1
    assert "www.example.com is one of *.example.com, which belongs to another app." in refused.err
    assert guest("domains:add", "hello", "a.www.example.com").code == 0
    assert operator.over_ssh(None, hello="deploy", shop="deploy")("domains:add", "hello", "www.example.com").code == 0
    assert operator("domains:add", "shop", "own.example.com").code == 0


def test_a_wildcard_over_names_that_others_have_takes_nothing_from_them(operator: Caller) -> None:
    operator("domains:add", "shop", "www.example.com")

    assert operator.over_ssh(None, hello="deploy")("domains:add", "hello", "*.example.com").code == 0
    assert known(operator) == {"www.example.com": "shop.localhost", "*.example.com": "hello.localhost"}


def test_who_may_deploy_the_app_may_change_them(operator: Caller, reader: Caller) -> None:
    guest = operator.over_ssh(None, hello="deploy")

    assert guest("domains:add", "hello", "example.com").code == 0
    assert reader("domains:add", "hello", "example.org").code == 3
    assert reader("domains:remove", "hello", "example.com").code == 3
    assert operator.over_ssh(None, shop="admin")("domains:remove", "hello", "example.com").code == 3
    assert guest("domains:remove", "hello", "example.com").code == 0


def test_what_was_done_is_told(deployer: Caller) -> None:
    deployer("domains:add", "hello", "Example.com", "www.example.com")
    deployer("domains:remove", "hello", "example.com")

    told = deployer("events", "hello").out
    assert "domains:add hello ok: example.com www.example.com" in told
    assert "domains:remove hello ok: example.com" in told


def test_the_app_tells_its_domains(deployer: Caller) -> None:
    deployer("domains:add", "hello", "www.example.com", "bücher.example")

    assert deployer("apps:info", "hello", "--format", "json").json["domains"] == [
        "www.example.com",
        "xn--bcher-kva.example",
    ]
    assert "Domains     www.example.com xn--bcher-kva.example (bücher.example)\n" in deployer("apps:info", "hello").out
    assert [app["domains"] for app in deployer("apps", "--format", "json").json] == [
        ["www.example.com", "xn--bcher-kva.example"],
        [],
    ]
    assert "Domains" not in deployer("apps:info", "shop").out


def test_an_app_that_goes_takes_its_domains_along(admin: Caller) -> None:
    admin("domains:add", "hello", "example.com")
    admin("domains:add", "shop", "shop.example.com")

    assert admin("apps:destroy", "hello", "--confirm", "hello").code == 0
    assert known(admin) == {"shop.example.com": "shop.localhost"}
    assert admin("domains:add", "shop", "example.com").code == 0


def test_another_base_domain_takes_names_away_and_gives_them_back(operator: Caller) -> None:
    operator("domains:add", "hello", "www.example.com", "www.example.org", "*.example.com", "example.com")
    moved = with_base(operator, "example.com")
    with moved.platform.store.session():
        aliases.settle(moved.platform)

    assert known(moved) == {"www.example.org": "hello.example.com", "example.com": "hello.example.com"}
    urls = {row["domain"]: row["url"] for row in moved("domains", "hello", "--format", "json").json}
    assert (urls["www.example.com"], urls["*.example.com"]) == (None, None)
    assert "none: names under example.com are the apps' own" in moved("domains", "hello").out
    assert moved("domains:remove", "hello", "*.example.com").code == 0

    assert operator("domains:add", "hello", "new.example.com").code == 0
    assert known(operator) == dict.fromkeys(
        ("www.example.com", "www.example.org", "example.com", "new.example.com"), "hello.localhost"
    )


def test_a_table_that_cannot_be_written_leaves_it_to_the_next_round(
    operator: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = operator.platform.router

    def full(name: str, host: str | None) -> None:
        raise RouterFailed(f"The route of {name} cannot be changed: no space left", "Free some.")

    with monkeypatch.context() as patch:
        patch.setattr(router, "alias", full)
        failed = operator("domains:add", "hello", "example.com")
    assert (failed.code, "no space left" in failed.err) == (1, True)

    with operator.platform.store.session():
        aliases.Mending(operator.platform).run_once()
    assert known(operator) == {"example.com": "hello.localhost"}


def test_a_round_in_which_nothing_has_changed_reads_nothing(operator: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    operator("domains:add", "hello", "example.com")
    mending = aliases.Mending(operator.platform)
    reads: list[int] = []
    wanted = aliases.wanted
    with operator.platform.store.session():
        mending.run_once()
        monkeypatch.setattr(aliases, "wanted", lambda config: reads.append(1) or wanted(config))
        mending.run_once()
        assert reads == []
        App.update(stopped=True).execute()
        Domain.delete().execute()
        operator.platform.router.alias("left.example.com", "hello.localhost")
        mending._reading._read = lambda: aliases.wanted(operator.platform.config)
        mending.run_once()
    assert known(operator) == {}
