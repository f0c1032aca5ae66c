"""Which builder makes an app, out of which directory, and what becomes of images from a push to the last rollback."""

from __future__ import annotations

import json

import flow as flows
import pytest
from flow import ALICE, MAIN, WEB, Flow, Images

from gitpaas import deploy, receive, releases
from gitpaas.apps import options
from gitpaas.config import Config
from gitpaas.errors import BuildFailed, GitpaasError, NotFound, PackagesOutOfReach, ToolOutOfReach
from gitpaas.releases import retention
from gitpaas.store import App, Release


def choose(flow: Flow, **changes: str) -> None:
    options.keep(flow.app, options.change_builds(options.of_builds(flow.app), changes))


# Choosing


def test_with_docker_a_dockerfile_comes_first_then_railpack(flow: Flow, images: Images) -> None:
    flow.deploy()
    assert (flow.last_build().builder, flow.last_build().label) == ("railpack", "Railpack 1.0")

    flow.deploy(Dockerfile="FROM scratch\n")

    build = flow.last_build()
    assert (build.builder, build.label, json.loads(build.details)) == (
        "dockerfile",
        "Dockerfile 1.0",
        {"copier": "1.0"},
    )
    assert "-----> Dockerfile app detected\n" in flow.lines.text
    assert flow.routed_releases() == {2}


def test_the_builder_that_was_asked_for_builds(flow: Flow, images: Images) -> None:
    choose(flow, builder="slug")
    flow.deploy(Dockerfile="FROM scratch\n")
    assert releases.artifact(flow.live).kind == "slug"
    assert flow.last_build().builder == "slug"

    choose(flow, builder="railpack")
    flow.deploy(Dockerfile="FROM scratch\n")
    assert releases.artifact(flow.live).builder == "railpack"

    choose(flow, builder="")
    flow.deploy(Dockerfile="FROM scratch\n")
    assert releases.artifact(flow.live).builder == "dockerfile"


def test_who_names_a_dockerfile_gets_that_one(flow: Flow, images: Images) -> None:
    choose(flow, dockerfile="deploy/prod", target="web", **{"arg:LEVEL": "1"})

    flow.deploy(**{"deploy/prod": "FROM scratch\n"})

    (request,) = images.dockerfile.requests
    assert (request.options.dockerfile, request.options.target, request.options.args) == (
        "deploy/prod", "web", {"LEVEL": "1"},
    )  # fmt: skip


def test_builder_that_this_server_cannot_use_is_refused_in_words(flow: Flow) -> None:
    choose(flow, builder="railpack")

    assert flow.push(flow.commit()) == 1

    assert (
        "The app asks for the builder railpack, which this server cannot use. Nothing is live yet." in flow.lines.text
    )
    assert "There is: slug. To let the tree decide: ssh paas builds:set hello builder=" in flow.lines.text
    assert flow.ref(MAIN) is None


def test_tree_that_nothing_understands_is_told_what_to_add(flow: Flow, images: Images) -> None:
    images.railpack._sign = "go.mod"
    assert flow.push(flow.commit()) == 1
    assert "Build failed: There is no go.mod. Nothing is live yet." in flow.lines.text
    assert "Add a go.mod." in flow.lines.text
    assert (
        "Or let it run as a Procfile app without a container: ssh paas builds:set hello builder=slug" in flow.lines.text
    )
    assert "app detected" not in flow.lines.text


@pytest.mark.parametrize("error", [ToolOutOfReach("no versions", "Wait."), PackagesOutOfReach("no packages")])
def test_railpack_without_its_network_is_not_the_only_way(flow: Flow, images: Images, error: GitpaasError) -> None:
    images.railpack.fails = error

    assert flow.push(flow.commit(WEB)) in {1, receive.PLATFORM_FAILED}

    way = (
        "Or let it run as a Procfile app without a container, which takes neither Railpack nor images: "
        "ssh paas builds:set hello builder=slug\n"
    )
    assert way in flow.lines.text
    assert (error.hint or "").startswith("Wait.") is isinstance(error, ToolOutOfReach)
    # and it is one
    images.railpack.fails = None
    choose(flow, builder="slug")
    assert releases.artifact(flow.deploy()).kind == "slug"


def test_another_way_is_told_only_where_there_is_one(flow: Flow, images: Images) -> None:
    # a tree that only an image can be made of
    images.railpack._sign = "go.mod"
    images.railpack.fails = ToolOutOfReach("no versions")
    choose(flow, root="below")
    assert flow.push(flow.commit(**{"below/go.mod": "module x\n"})) == receive.PLATFORM_FAILED
    choose(flow, root="")
    # a Dockerfile, whose image is what was asked for
    images.dockerfile.fails = ToolOutOfReach("no base image")
    assert flow.push(flow.commit(WEB, Dockerfile="FROM scratch\n")) == receive.PLATFORM_FAILED
    # and what no network would mend
    images.railpack._sign = "Procfile"
    images.railpack.fails = BuildFailed("no such package", step="versions")
    assert flow.push(flow.commit(WEB)) == 1
    assert "no such package" in flow.lines.text
    assert "builder=slug" not in flow.lines.text


def test_build_is_told_what_the_live_release_was_made_of(flow: Flow, images: Images) -> None:
    flow.deploy()
    flow.deploy()
    assert [dict(request.previous) for request in images.railpack.requests] == [{}, {"copier": "1.0"}]


# A directory of the repository


@pytest.mark.parametrize("kind", ["slug", "image"])
def test_directory_of_the_repository_is_the_app(flow: Flow, kind: str) -> None:
    if kind == "image":
        flows.with_images(flow)
    choose(flow, root="./apps/web/")
    assert options.of_builds(flow.app).root == "apps/web"

    flow.deploy(
        "web: false\n",
        app_json='{"formation": {"web": {"quantity": 5}}}',
        **{"apps/web/Procfile": WEB + "two: sleep 9\n", "apps/web/serve.txt": flows.SERVER, "apps/other/x": ""},
    )

    assert flow.labels() == ["web.1 v1"]
    assert set(releases.artifact(flow.live).processes) == {"web", "two"}


@pytest.mark.parametrize(
    ("root", "what"), [("nowhere", "nothing"), ("serve.txt", "a file"), ("link", "a link"), ("link/below", "nothing")]
)
def test_root_that_is_no_directory_of_the_commit(flow: Flow, root: str, what: str) -> None:
    choose(flow, root=root)

    assert flow.push(flow.commit(link="-> /etc", **{"apps/web/Procfile": WEB})) == 1

    assert f"Build failed: The app's root is {root}, and that is {what} in this commit." in flow.lines.text


# Images


def test_tree_of_an_image_is_scratch(flow: Flow, images: Images) -> None:
    flow.deploy()
    assert list(flow.config.slugs("hello").iterdir()) == []
    assert images.store.names("hello").keys() == {"hello:build-1", "hello:v1"}


def test_build_of_an_image_that_fails_leaves_nothing(flow: Flow, images: Images) -> None:
    flow.deploy()
    assert flow.push(flow.commit(first_py="raise SystemExit(3)")) == 1
    assert list(flow.config.slugs("hello").iterdir()) == []
    assert images.store.names("hello").keys() == {"hello:build-1", "hello:v1"}
    assert flow.routed_releases() == {1}


def test_images_are_kept_for_the_last_releases_and_rolled_back_to(config: Config) -> None:
    with flows.fresh(config, keep_releases=2) as flow:
        images = flows.with_images(flow)
        for _ in range(4):
            flow.deploy()
            flow.reconcile(lambda: len(flow.labels()) == 1)
        kept = {releases.artifact(flow.release(number)).reference for number in (3, 4)}
        flow.reconcile(
            lambda: retention.prune(flow.platform, flow.app) and set(images.store.names("hello").values()) == kept
        )

        with pytest.raises(NotFound, match="The image of v1 is no longer kept"):
            deploy.rollback(flow.platform, flow.app, 1, ALICE, flow.out)

        assert deploy.rollback(flow.platform, flow.app, 3, ALICE, flow.out).number == 5
        assert flow.routed_releases() == {5}
        names = images.store.names("hello")
        assert names["hello:v5"] == names["hello:v3"]


def test_slugs_are_still_run_by_a_server_that_has_docker_now(flow: Flow) -> None:
    flow.deploy()
    flow.commit()
    images = flows.with_images(flow)
    flow.crash(flow.running()[0])
    flow.reconcile(lambda: flow.routed_releases() == {1})

    flow.deploy()
    flow.reconcile(lambda: flow.labels() == ["web.1 v2"])

    assert [releases.artifact(flow.release(number)).kind for number in (1, 2)] == ["slug", "image"]
    assert deploy.rollback(flow.platform, flow.app, 1, ALICE, flow.out).number == 3
    flow.reconcile(lambda: flow.labels() == ["web.1 v3"])
    assert images.store.names("hello").keys() == {"hello:build-2", "hello:v2"}


def test_image_on_a_server_without_docker_is_refused_in_words(flow: Flow) -> None:
    before = flow.platform
    flows.with_images(flow)
    flow.deploy()
    flow.deploy()
    flow.platform = before

    with pytest.raises(NotFound, match="The image of v1 is no longer kept") as caught:
        deploy.rollback(flow.platform, flow.app, 1, ALICE, flow.out)

    assert "ssh paas rollback hello v1" in str(caught.value.hint)
    assert App.get().release == 2
    assert Release.select().where(Release.status == "pending").count() == 0
