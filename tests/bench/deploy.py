"""How long a push takes until the new version answers: pairs in one run, ratios first.

    scripts/bench deploy [--rounds N] [--quick]

Each round pushes a one-line change of a tiny app twice: to a branch that is only stored, and to main, which deploys.
The difference is what gitpaas itself adds to a push: export, build, start, health check, switch. Then the same app
with 20 dependencies, ordinary ones and tiny ones: the first push (nothing cached) against the second (one line).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.e2e.world import AppRepo, World

SMALL_20 = Path(__file__).parent.parent / "apps" / "python-20-deps"  # 20 packages of a few kilobytes each
ORDINARY_20 = [
    "boto3",
    "celery",
    "cryptography",
    "django",
    "flask",
    "gunicorn",
    "httpx",
    "jinja2",
    "lxml",
    "numpy",
    "pandas",
    "pillow",
    "psycopg2-binary",
    "pydantic",
    "pyyaml",
    "redis",
    "requests",
    "rich",
    "sqlalchemy",
    "whitenoise",
]
FLASK = """\
from flask import Flask
app = Flask(__name__)
app.add_url_rule("/", view_func=lambda: "hello")
"""
RESULTS = Path("bench-results")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7, help="pushes of each kind (7)")
    options.add_argument("--quick", action="store_true", help="3 rounds, without the 20 dependencies")
    chosen = options.parse_args()
    rounds = 3 if chosen.quick else chosen.rounds
    with tempfile.TemporaryDirectory(prefix="gp-", dir="/tmp") as root:
        world = World(Path(root))
        world.start()
        try:
            figures = measure_small(world, rounds) | ({} if chosen.quick else measure_heavy(world, rounds))
        finally:
            world.close()
    report(figures)


def measure_small(world: World, rounds: int) -> dict[str, list[float]]:
    """Seconds: of a push that stores, of one that deploys, and from its start until the URL has the new text."""
    app = world.new_app()
    app.deploy()
    stored, deployed, answering = [], [], []
    for number in range(rounds):
        app.commit({"version.txt": f"change {number}"})
        stored.append(timed(lambda: app.push("main:refs/heads/side")))
        begin = time.perf_counter()
        deployed.append(timed(app.push))
        app.wait_for(f"change {number}")
        answering.append(time.perf_counter() - begin)
    return {"push stored only": stored, "push deployed": deployed, "until the URL has it": answering}


def measure_heavy(world: World, rounds: int) -> dict[str, list[float]]:
    """Seconds of the first push of a new app and of its second, each round with an app whose caches are empty."""
    small = {path.name: path.read_text() for path in SMALL_20.iterdir() if path.is_file()}
    ordinary = {
        "requirements.txt": "\n".join(ORDINARY_20),
        "app.py": FLASK,
        "Procfile": "web: gunicorn app:app --bind 127.0.0.1:$PORT\n",
    }
    figures: dict[str, list[float]] = {}
    for name, files in {"20 ordinary dependencies": ordinary, "20 tiny dependencies": small}.items():
        for _ in range(min(rounds, 3)):
            app = world.new_app(files)
            figures.setdefault(f"{name}, first push", []).append(timed(app.push))
            change_one_line(app)
            figures.setdefault(f"{name}, one line changed", []).append(timed(app.push))
    return figures


def change_one_line(app: AppRepo) -> None:
    source = next(path for path in sorted(app.path.glob("*.py")))
    app.commit({source.name: source.read_text() + "# one more line\n"})


def timed(push: Callable[[], object]) -> float:
    begin = time.perf_counter()
    result = push()
    if getattr(result, "code", 0) != 0:
        raise SystemExit(f"a push failed:\n{getattr(result, 'output', result)}")
    return time.perf_counter() - begin


def report(figures: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(values) for name, values in figures.items()}
    print(f"deployed / stored only: {medians['push deployed'] / medians['push stored only']:.2f}")
    for name in [name.removesuffix(", first push") for name in medians if name.endswith(", first push")]:
        ratio = medians[f"{name}, first push"] / medians[f"{name}, one line changed"]
        print(f"first push / one line changed, {name}: {ratio:.1f}")
    for name, values in figures.items():
        print(f"{name:44} median {medians[name]:6.2f} s   min {min(values):6.2f}   max {max(values):6.2f}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "deploy.json").write_text(json.dumps({"seconds": figures, "median": medians}, indent=2))


if __name__ == "__main__":
    main()
