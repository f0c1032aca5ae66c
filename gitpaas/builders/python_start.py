"""How a Python app without a Procfile is started: the conventions that Heroku's and Railpack's users know.

manage.py -> gunicorn or Django's own server; an `app` object of a known framework -> uvicorn, gunicorn or Flask's
own server, whichever is installed; else main.py and its like as a program.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from gitpaas import tree as trees

_PROGRAMS = ("main.py", "app.py", "server.py", "run.py", "bot.py")
_MODULES = (*_PROGRAMS, "wsgi.py", "asgi.py", "application.py", "api.py", "app/main.py", "src/main.py", "src/app.py")
_ASGI = {"FastAPI", "Starlette", "Litestar", "Quart", "BlackSheep", "get_asgi_application"}
_WSGI = {"Flask", "Bottle", "Pyramid", "get_wsgi_application", "create_wsgi_app"}
_LARGEST = 256 * 1024  # characters of a program that is looked into: its syntax tree takes 500 times the memory
_BIND = "127.0.0.1:$PORT"

Installed = Callable[[str], bool]  # whether a module of that name is installed


class Application(NamedTuple):
    """An object a server can serve: `module:name`."""

    module: str
    name: str
    interface: Literal["asgi", "wsgi"]
    maker: str  # the framework's class or function


def may_start(tree: Path) -> bool:
    """Whether there is any file that a start command could be made of."""
    return any(trees.has_file(tree, name) for name in ("manage.py", *_MODULES))


def start_command(tree: Path, installed: Installed) -> str | None:
    """The web process of this tree, given what is installed."""
    if trees.has_file(tree, "manage.py"):
        return _django(tree, installed)
    for application in _applications(tree):
        if command := _served(application, installed):
            return command
    return next((f"python {name}" for name in _PROGRAMS if trees.has_file(tree, name)), None)


def _django(tree: Path, installed: Installed) -> str:
    project = _settings_package(tree)
    if project and installed("gunicorn") and trees.has_file(tree, f"{project}/wsgi.py"):
        return f"gunicorn {project}.wsgi --bind {_BIND}"
    if project and installed("uvicorn") and trees.has_file(tree, f"{project}/asgi.py"):
        return f"uvicorn {project}.asgi:application --host 127.0.0.1 --port $PORT"
    return f"python manage.py runserver {_BIND} --noreload"


def _settings_package(tree: Path) -> str | None:
    """`shop` of manage.py's os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")."""
    text = trees.read_text(tree, "manage.py") or ""
    match = re.search(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["'](\w+)\.""", text)
    return match[1] if match else None


def _served(application: Application, installed: Installed) -> str | None:
    target = f"{application.module}:{application.name}"
    if application.interface == "asgi":
        return f"uvicorn {target} --host 127.0.0.1 --port $PORT" if installed("uvicorn") else None
    if installed("gunicorn"):
        return f"gunicorn {target} --bind {_BIND}"
    if application.maker == "Flask" and installed("flask"):
        return f"flask --app {target} run --host 127.0.0.1 --port $PORT"
    return None


def _applications(tree: Path) -> Iterator[Application]:
    for name in _MODULES:
        text = trees.read_text(tree, name) if trees.has_file(tree, name) else None
        if text is None or len(text) > _LARGEST:
            continue
        try:
            module = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue  # python itself will say so, with the line, when the app starts
        yield from _made_in(module, name.removesuffix(".py").replace("/", "."))


def _made_in(module: ast.Module, name: str) -> Iterator[Application]:
    """Top-level `app = FastAPI(...)` and its like."""
    for statement in module.body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or not isinstance(statement.value, ast.Call):
            continue
        function = statement.value.func
        maker = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            if isinstance(target, ast.Name) and maker in _ASGI | _WSGI:
                yield Application(name, target.id, "asgi" if maker in _ASGI else "wsgi", maker)
