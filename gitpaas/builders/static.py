"""Static sites: an index.html at the root, or in public/ or dist/, served by Caddy as the web process.

Its Caddyfile is generated: no admin endpoint, nothing whose name begins with a dot (.git, .env; .well-known is
meant to be seen), 404.html for what is not there, compression, 127.0.0.1:$PORT and nowhere else.
"""

from __future__ import annotations

from pathlib import Path

from gitpaas import tree as trees
from gitpaas.builders import programs
from gitpaas.builders.workshop import Built, Workshop, same

name = "Static"
_ROOTS = (".", "public", "dist", "build", "out")
_OWN = ".gitpaas"  # hidden like every name with a dot

_CADDYFILE = """\
{
	admin off
	auto_https off
	persist_config off
	grace_period 10s
	log {
		level ERROR
	}
}

http://:{$PORT} {
	bind 127.0.0.1
	root * %(root)s
	encode zstd gzip
	@hidden {
		path */.*
		not path /.well-known /.well-known/*
	}
	error @hidden 404
%(fallback)s	file_server
	handle_errors {
		@page file /{err.status_code}.html
		handle @page {
			rewrite * {file_match.relative}
			file_server {
				status {err.status_code}
			}
		}
		handle {
			respond "{err.status_code} {err.status_text}"
		}
	}
}
"""


def detect(tree: Path) -> bool:
    return site_root(tree) is not None


def site_root(tree: Path) -> str | None:
    """Where the site lies in the tree: "." or the name of a directory."""
    return next((root for root in _ROOTS if trees.has_file(tree, f"{root}/index.html")), None)


def build(shop: Workshop, *, leads: bool) -> Built:
    root = site_root(shop.tree) or "."
    label = "Static site" if root == "." else f"Static site ({root}/)"
    if not leads:
        return Built(label=label)
    shop.out.step(f"Serving {'the repository' if root == '.' else f'{root}/'} with Caddy")
    return serve(shop, root, label)


def serve(shop: Workshop, root: str, label: str, *, one_page: bool = False) -> Built:
    """A web process for the directory `root` of the tree. `one_page`: unknown paths get index.html, for its router."""
    caddy = programs.caddy(shop.config)
    config = caddyfile(root, one_page=one_page and not trees.has_file(shop.tree, f"{root}/404.html"))
    shop.write(f"{_OWN}/Caddyfile", config)
    state = f"{shop.app}/{_OWN}"
    return Built(
        label=label,
        processes={"web": f"caddy run --config {_OWN}/Caddyfile --adapter caddyfile"},
        path=(str(caddy.parent),),
        env={"XDG_DATA_HOME": state, "XDG_CONFIG_HOME": state},
        mounts=(same(caddy.parent),),
    )


def caddyfile(root: str, *, one_page: bool = False) -> str:
    fallback = "\ttry_files {path} {path}/ /index.html\n" if one_page else ""
    return _CADDYFILE % {"root": root, "fallback": fallback}
