"""A deploy whose build is known builds nothing; whatever a build depends on makes another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import flow as flows
import pytest
from flow import ALICE, MAIN, WEB, Flow, Images
from peewee import SqliteDatabase

from gitpaas import deploy, releases, shell
from gitpaas.apps import options
from gitpaas.config import Config
from gitpaas.git import repository
from gitpaas.releases import retention, reuse
from gitpaas.store import Release, Seal, Store
from gitpaas.values import BuildOptions

SAME = {"unique_txt": "the same tree"}


def builds_done(flow: Flow) -> int:
    """How many artifacts were made so far, be they kept or not."""
    return len({releases.artifact(release).reference for release in Release.select()})


def test_force_push_of_an_older_commit_takes_its_build(flow: Flow) -> None:
    first, second = flow.deploy(), flow.deploy()

    assert flow.push(first.commit) == 0

    assert f"{second.commit[:7]}..{first.commit[:7]} (1 commit back) by alice\n" in flow.lines.text
    assert "-----> Using the build of v1: same tree, builder and config vars" in flow.lines.text
    assert (flow.live.number, flow.live.artifact, flow.live.commit) == (3, first.artifact, first.commit)
    assert flow.live.artifact != second.artifact
    assert flow.ref(MAIN) == first.commit
    assert (flow.last_build().builder, flow.last_build().release) == ("slug", 3)
    assert flow.routed_releases() == {3}


def test_revert_is_a_new_commit_with_a_known_tree(flow: Flow) -> None:
    first = flow.deploy(**SAME)
    flow.deploy()

    reverted = flow.deploy(**SAME)

    assert reverted.commit != first.commit
    assert reverted.artifact == first.artifact
    assert builds_done(flow) == 2


def changed_config(flow: Flow) -> None:
    deploy.set_config(flow.platform, flow.app, {"A": "2"}, ALICE, flow.out)


def changed_builder(flow: Flow) -> None:
    flow.platform.__dict__["builder_versions"] = {"slug": "the next one"}


def changed_options(flow: Flow) -> None:
    options.keep(flow.app, BuildOptions(builder="slug"))


def changed_server(flow: Flow) -> None:
    flow.config.environ["HTTPS_PROXY"] = "http://proxy.example.com"  # type: ignore[index]


@pytest.mark.parametrize("change", [changed_config, changed_builder, changed_options, changed_server])
def test_whatever_a_build_may_see_makes_another_one(flow: Flow, change: Callable[[Flow], None]) -> None:
    first = flow.deploy(**SAME)
    change(flow)

    again = flow.deploy(**SAME)

    assert again.artifact != first.artifact
    assert "Using the build" not in flow.lines.text


def test_config_that_is_as_before_finds_the_build_of_before(flow: Flow) -> None:
    first = flow.deploy(**SAME)
    changed_config(flow)
    flow.deploy(**SAME)
    deploy.set_config(flow.platform, flow.app, {"A": None}, ALICE, flow.out)

    assert flow.deploy(**SAME).artifact == first.artifact


def test_tree_that_asks_for_the_commit_is_built_for_each(flow: Flow) -> None:
    files = {**SAME, "build_sh": "echo $SOURCE_VERSION"}
    first, other = flow.deploy(**files), flow.deploy(**files)
    assert other.artifact != first.artifact

    assert flow.push(first.commit) == 0
    assert flow.live.artifact == first.artifact


def test_only_the_directory_that_is_the_app_counts_and_attributes_above_it(flow: Flow) -> None:
    inside = {f"web/{name}": text for name, text in {"Procfile": WEB, "serve.txt": "print(1)"}.items()}
    options.keep(flow.app, BuildOptions(root="web"))
    inside["web/serve.txt"] = repository.git(
        flow.config.repository("hello"), "show", f"{flow.commit(**SAME)}:serve.txt"
    )
    first = flow.deploy(**inside)

    assert flow.deploy(**inside).artifact == first.artifact
    assert flow.deploy(**inside, _gitattributes="*.md export-ignore").artifact != first.artifact


def test_rebuild_builds(flow: Flow) -> None:
    first = flow.deploy()

    assert flow.push(first.commit, again=True) == 0

    assert flow.live.artifact != first.artifact
    assert flow.live.inputs == first.inputs != ""


def test_what_is_not_kept_is_built(flow: Flow) -> None:
    first = flow.deploy()
    flow.deploy()
    shell.remove(flow.config.slug("hello", 1))

    assert flow.push(first.commit) == 0

    assert flow.live.artifact != first.artifact
    assert flow.routed_releases() == {3}


def test_build_that_is_used_again_is_not_removed_from_under_the_deploy(flow: Flow) -> None:
    """Retention looks while a deploy has taken the oldest of all into use again."""
    first = flow.deploy(f"release: exit 0\n{WEB}")
    for _ in range(flow.config.keep_releases):
        flow.deploy()
    Release.update(pinned=True).where(Release.number == 1).execute()
    # when it is let go of in the release phase of the very deploy that uses it
    seen: list[bool] = []

    def run(*_: object, **__: object) -> int:
        retention.unpin(flow.platform, flow.app, flow.release(1))
        seen.append(releases.is_kept(flow.platform, first))
        return 0

    flow.platform.runtime.run = run  # type: ignore[method-assign]
    assert releases.is_kept(flow.platform, first)

    assert flow.push(first.commit) == 0

    assert seen == [True]
    assert flow.live.artifact == first.artifact


def test_changes_of_config_vars_do_not_push_out_what_was_built_before(config: Config) -> None:
    with flows.fresh(config, keep_releases=2) as flow:
        first = flow.deploy()
        flow.deploy()
        # when many releases in a row share one artifact
        for number in range(4):
            deploy.set_config(flow.platform, flow.app, {"LEVEL": str(number)}, ALICE, flow.out)
        retention.prune(flow.platform, flow.app)
        # then the last two artifacts are kept, and the way back needs no build
        assert releases.is_kept(flow.platform, first)
        assert deploy.rollback(flow.platform, flow.app, 1, ALICE, flow.out).artifact == first.artifact
        # until two others have been made
        flow.deploy()
        flow.deploy()
        # and nothing of it is left running
        flow.reconcile(lambda: retention.prune(flow.platform, flow.app) and not releases.is_kept(flow.platform, first))


def test_failed_deploy_of_a_known_build_leaves_the_build(flow: Flow) -> None:
    phase = f"release: exit $FAILS\n{WEB}"
    deploy.set_config(flow.platform, flow.app, {"FAILS": "0"}, ALICE, flow.out)
    first = flow.deploy(phase)
    flow.deploy()

    def run(*_: object, **__: object) -> int:
        return 3

    flow.platform.runtime.run = run  # type: ignore[method-assign]
    assert flow.push(first.commit) == 1

    assert "Using the build of v1" in flow.lines.text
    assert releases.is_kept(flow.platform, first)
    assert flow.live.number == 2


def test_image_is_used_again_and_gets_the_name_of_the_new_release(flow: Flow, images: Images) -> None:
    first = flow.deploy()
    flow.deploy()

    assert flow.push(first.commit) == 0

    assert len(images.railpack.requests) == 2
    assert images.store.names("hello")["hello:v3"] == releases.artifact(first).reference


def test_digest_takes_the_key_to_compute(flow: Flow) -> None:
    """Whoever reads it cannot find out a value by trying."""
    deploy.set_config(flow.platform, flow.app, {"PIN": "1234"}, ALICE, flow.out)
    here = flow.deploy(**SAME).inputs
    build, env = flow.last_build(), reuse.environment(flow.platform, flow.app, flow.last_build())
    assert reuse.inputs(flow.platform, flow.app, build, env) == here

    elsewhere = replace(flow.platform, store=Store(SqliteDatabase(":memory:"), Seal(flow.config.home / "another.key")))

    assert reuse.inputs(elsewhere, flow.app, build, env) not in ("", here)
