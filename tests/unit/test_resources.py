"""What instances may take: which word holds, and which words cannot be meant."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from gitpaas.apps import resources
from gitpaas.config import Config
from gitpaas.errors import UsageError
from gitpaas.store import App
from gitpaas.values import Limits

MB = 1024 * 1024


def said(**values: dict[str, object]) -> App:
    return App(
        name="hello", created_by="alice", resources=json.dumps({n.replace("others", ""): v for n, v in values.items()})
    )


def test_what_is_said_of_a_type_comes_before_all_others_and_these_before_the_settings(config: Config) -> None:
    settings = replace(config, instance_memory=512 * MB, instance_processes=256, instance_files=99, instance_cpus=None)
    app = said(others={"memory": 100 * MB, "cpus": 1.0}, web={"memory": 300 * MB})
    assert resources.limits(settings, app, "web") == Limits(300 * MB, 256, 99, 1.0)
    assert resources.limits(settings, app, "worker") == Limits(100 * MB, 256, 99, 1.0)
    assert resources.limits(settings, said(), "web") == Limits(512 * MB, 256, 99, None)


def test_words_are_kept_and_empty_ones_unset() -> None:
    app = said(web={"memory": 300 * MB, "cpus": 0.5})
    app.resources = resources.changed(app, "web", {"cpu": "", "processes": "40"})
    assert resources.chosen(app) == {"web": {"memory": 300 * MB, "processes": 40}}
    app.resources = resources.changed(app, "", {"memory": "64m", "cpu": "0.25"})
    assert resources.chosen(app)[""] == {"memory": 64 * MB, "cpus": 0.25}
    app.resources = resources.changed(app, "web", {"memory": "", "processes": ""})
    assert resources.chosen(app) == {"": {"memory": 64 * MB, "cpus": 0.25}}


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("memory", "lots", "is not an amount of memory"),
        ("memory", "-1m", "is not an amount of memory"),
        ("memory", "100", "less than an instance can start in"),
        ("memory", "1000t", "more than this machine has"),
        ("cpu", "half", "is not a number of CPUs"),
        ("cpu", "0", "is not a number of CPUs"),
        ("cpu", "0.001", "less than can be shared out"),
        ("cpu", str((os.cpu_count() or 1) + 0.5), "more than this machine has"),
        ("processes", "0", "is not a number of processes"),
        ("processes", "many", "is not a number of processes"),
        ("processes", "99999", "is not a number of processes"),
        ("processes", "٤٤", "is not a number of processes"),
    ],
)
def test_what_no_instance_could_have(key: str, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        resources.changed(said(), "", {key: text})


def test_which_process_types_there_are() -> None:
    for name in ("web", "release", "run", "cron"):
        resources.require_process(said(), {"web"}, name)
    with pytest.raises(UsageError) as caught:
        resources.require_process(said(), {"web"}, "wob")
    assert caught.value.hint == "Limits are for: web, release, run, cron."
