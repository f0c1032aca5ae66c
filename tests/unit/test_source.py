"""A commit exported exactly, with real git: bytes, modes, links, attributes, submodules, and hostile trees."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gitpaas.errors import BuildFailed, CommandFailed
from gitpaas.git import source, submodules

ENV = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(*arguments: str | Path, cwd: Path, data: bytes | None = None) -> str:
    done = subprocess.run(["git", *arguments], cwd=cwd, env=ENV, input=data, check=True, capture_output=True)
    return done.stdout.decode().strip()


def commit(path: Path, files: Mapping[str, bytes | str], *options: str) -> str:
    """A commit with `files` in the repository at `path` (made when missing); its id."""
    path.mkdir(parents=True, exist_ok=True)
    git("init", "-q", "-b", "main", *options, cwd=path)
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    git("add", "-A", cwd=path)
    git("commit", "-q", "--allow-empty", "-m", "c", cwd=path)
    return git("rev-parse", "HEAD", cwd=path)


def crafted(path: Path, *entries: tuple[str, str, str]) -> str:
    """A commit whose one tree has (mode, name, content) as they are: what `git add` would refuse."""
    path.mkdir()
    git("init", "-q", "--bare", cwd=path)
    lines = b""
    for mode, name, content in entries:
        kind = "tree" if mode == "40000" else "blob"
        data = content.encode() if kind == "blob" else b""
        oid = git("hash-object", "-w", "--literally", "-t", kind, "--stdin", cwd=path, data=data)
        if kind == "tree" and content:
            blob = git("hash-object", "-w", "--stdin", cwd=path, data=content.encode())
            raw = b"100644 file\0" + bytes.fromhex(blob)
            oid = git("hash-object", "-w", "--literally", "-t", "tree", "--stdin", cwd=path, data=raw)
        lines += mode.encode() + b" " + name.encode() + b"\0" + bytes.fromhex(oid)
    tree = git("hash-object", "-w", "--literally", "-t", "tree", "--stdin", cwd=path, data=lines)
    return git("commit-tree", tree, "-m", "c", cwd=path)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    return path


def written(target: Path) -> set[str]:
    return {str(path.relative_to(target)) for path in target.rglob("*") if not path.is_dir()}


def test_bytes_modes_links_and_odd_names(tmp_path: Path, target: Path) -> None:
    repo = tmp_path / "repo"
    big = os.urandom(3_000_000)
    commit(repo, {"a.txt": "plain\r\n", "deep/er/big.bin": big, "run.sh": "#!/bin/sh\n", "empty": ""})
    (repo / "run.sh").chmod(0o755)
    (repo / "link").symlink_to("deep/er")
    (repo / "dangling").symlink_to("/nowhere/at all")
    (repo / "new\nline \udcff ü").write_text("odd")
    head = commit(repo, {})

    source.export(repo / ".git", head, target, env=ENV)

    assert (target / "a.txt").read_bytes() == b"plain\r\n"
    assert (target / "deep/er/big.bin").read_bytes() == big
    assert (target / "empty").read_bytes() == b""
    assert (target / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (target / "a.txt").stat().st_mode & 0o777 == 0o644
    assert (target / "link").readlink() == Path("deep/er")
    assert (target / "dangling").readlink() == Path("/nowhere/at all")
    assert (target / "new\nline \udcff ü").read_text() == "odd"


def test_attributes_change_nothing_but_export_ignore(tmp_path: Path, target: Path) -> None:
    head = commit(
        tmp_path / "repo",
        {
            ".gitattributes": "docs/ export-ignore\n*.tmp export-ignore\n*.txt eol=crlf ident export-subst filter=x\n",
            "docs/deep/page.md": "x",
            "sub/.gitattributes": "secret export-ignore\nkept.tmp -export-ignore\n",
            "sub/secret": "x",
            "sub/kept.tmp": "x",
            "a.tmp": "x",
            "a.txt": "$Id$ $Format:%H$\n",
        },
    )

    source.export(tmp_path / "repo/.git", head, target, env=ENV)

    assert written(target) == {".gitattributes", "sub/.gitattributes", "sub/kept.tmp", "a.txt"}
    assert not (target / "docs").exists()
    assert (target / "a.txt").read_bytes() == b"$Id$ $Format:%H$\n"


def test_a_commit_held_by_a_hidden_ref_only(tmp_path: Path, target: Path) -> None:
    head = commit(tmp_path / "repo", {"a": "1"})
    git("init", "-q", "--bare", tmp_path / "bare", cwd=tmp_path)
    git("fetch", "-q", tmp_path / "repo", f"{head}:refs/builds/1", cwd=tmp_path / "bare")

    source.export(tmp_path / "bare", head, target, env=ENV)

    assert written(target) == {"a"}


def test_a_sha256_repository(tmp_path: Path, target: Path) -> None:
    head = commit(
        tmp_path / "repo", {"a": "1", ".gitattributes": "b export-ignore", "b": "2"}, "--object-format=sha256"
    )

    source.export(tmp_path / "repo/.git", head, target, env=ENV)

    assert len(head) == 64
    assert written(target) == {"a", ".gitattributes"}


def test_an_empty_commit_leaves_the_directory_empty(tmp_path: Path, target: Path) -> None:
    head = commit(tmp_path / "repo", {})

    source.export(tmp_path / "repo/.git", head, target, env=ENV)

    assert list(target.iterdir()) == []


def test_a_replaced_object_is_not_what_was_pushed(tmp_path: Path, target: Path) -> None:
    head = commit(tmp_path / "repo", {"a": "1"})
    other = commit(tmp_path / "repo", {"a": "2"})
    git("replace", head, other, cwd=tmp_path / "repo")

    source.export(tmp_path / "repo/.git", head, target, env=ENV)

    assert (target / "a").read_text() == "1"


@pytest.mark.parametrize(
    "entry",
    [
        ("100644", "..", "x"),
        ("100644", ".", "x"),
        ("40000", "..", "x"),
        ("100644", ".git", "x"),
        ("40000", ".GIT", "x"),
        ("40000", "git~1", "x"),
        ("100644", "../out", "x"),
        ("100644", "/etc/out", "x"),
        ("100644", "a//b", "x"),
    ],
    ids=lambda entry: f"{entry[0]}-{entry[1]}",
)
def test_a_path_out_of_the_tree_is_refused(tmp_path: Path, target: Path, entry: tuple[str, str, str]) -> None:
    head = crafted(tmp_path / "bare", entry)

    with pytest.raises(BuildFailed, match="must not be written"):
        source.export(tmp_path / "bare", head, target, env=ENV)

    assert written(target) == set()


def test_a_link_and_a_directory_of_one_name_write_nothing_outside(tmp_path: Path, target: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    head = crafted(tmp_path / "bare", ("120000", "a", str(outside)), ("40000", "a", "escaped"))

    with pytest.raises(BuildFailed, match="cannot be written here"):
        source.export(tmp_path / "bare", head, target, env=ENV)

    assert list(outside.iterdir()) == []


def test_a_name_too_long_for_the_disk_is_the_commits_fault(tmp_path: Path, target: Path) -> None:
    head = crafted(tmp_path / "bare", ("100644", "x" * 300, "y"))

    with pytest.raises(BuildFailed, match="cannot be written here"):
        source.export(tmp_path / "bare", head, target, env=ENV)


def test_a_tree_of_endless_paths_is_stopped(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_MOST_ENTRIES", 10)
    head = commit(tmp_path / "repo", {f"{n}": "x" for n in range(20)})

    with pytest.raises(BuildFailed, match="more than 10 files"):
        source.export(tmp_path / "repo/.git", head, target, env=ENV)


def test_files_larger_than_the_limit_are_stopped(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_MOST_BYTES", 10)
    head = commit(tmp_path / "repo", {"a": "12345678", "b": "1234"})

    with pytest.raises(BuildFailed, match="larger than"):
        source.export(tmp_path / "repo/.git", head, target, env=ENV)


def test_a_commit_that_is_not_there_is_the_platforms_fault(tmp_path: Path, target: Path) -> None:
    commit(tmp_path / "repo", {"a": "1"})

    with pytest.raises(CommandFailed):
        source.export(tmp_path / "repo/.git", "0" * 40, target, env=ENV)


def test_lfs_pointers_are_warned_of(tmp_path: Path, target: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"
    head = commit(tmp_path / "repo", {"model.bin": pointer, "a": "1"})
    warnings: list[str] = []

    source.export(tmp_path / "repo/.git", head, target, env=ENV, warn=warnings.append)

    assert warnings[0].startswith("1 file is a Git LFS pointer: model.bin")
    assert (target / "model.bin").read_text() == pointer


# Submodules


def with_submodule(tmp_path: Path, url: str, *, path: str = "vendor/lib") -> tuple[Path, str]:
    """A repository whose `path` is a submodule at `url`, pinned to a commit of tmp_path/lib."""
    pinned = commit(tmp_path / "lib", {"lib.py": "x = 1\n"})
    repo = tmp_path / "repo"
    commit(repo, {".gitmodules": f'[submodule "the lib"]\n\tpath = {path}\n\turl = {url}\n', "main.py": "import lib\n"})
    git("update-index", "--add", "--cacheinfo", f"160000,{pinned},{path}", cwd=repo)
    git("commit", "-qm", "m", cwd=repo)
    return repo / ".git", git("rev-parse", "HEAD", cwd=repo)


def test_a_submodule_is_fetched_at_its_pinned_commit(tmp_path: Path, target: Path) -> None:
    repo, head = with_submodule(tmp_path, f"file://{tmp_path}/lib/.git")
    commit(tmp_path / "lib", {"lib.py": "x = 2\n"})

    source.export(repo, head, target, env=ENV, protocols=("file",))

    assert (target / "vendor/lib/lib.py").read_text() == "x = 1\n"
    assert (target / "main.py").exists()
    assert not list(target.rglob(".git"))


def test_submodules_of_submodules(tmp_path: Path, target: Path) -> None:
    inner, pinned = with_submodule(tmp_path, f"file://{tmp_path}/lib/.git")
    outer = tmp_path / "outer"
    commit(outer, {".gitmodules": f'[submodule "a"]\n\tpath = a\n\turl = file://{inner}\n'})
    git("update-index", "--add", "--cacheinfo", f"160000,{pinned},a", cwd=outer)
    git("commit", "-qm", "m", cwd=outer)
    head = git("rev-parse", "HEAD", cwd=outer)

    source.export(outer / ".git", head, target, env=ENV, protocols=("file",))

    assert (target / "a/vendor/lib/lib.py").exists()


def test_a_relative_address_is_beside_the_repositorys_origin(tmp_path: Path, target: Path) -> None:
    repo, head = with_submodule(tmp_path, "../lib/.git")
    git("config", "remote.origin.url", f"file://{tmp_path}/origin.git", cwd=repo)

    source.export(repo, head, target, env=ENV, protocols=("file",))

    assert (target / "vendor/lib/lib.py").exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc", "an address that is not allowed"),
        ("/etc", "an address that is not allowed"),
        ("ext::sh -c touch% /tmp/x", "an address that is not allowed"),
        ("-u./evil", "an address that is not allowed"),
        ("--upload-pack=x:y", "an address that is not allowed"),
        ("http://example.org/lib.git", "an address that is not allowed"),
        ("../lib.git", "has a relative address"),
    ],
)
def test_an_address_that_is_refused_names_the_submodule(tmp_path: Path, target: Path, url: str, said: str) -> None:
    repo, head = with_submodule(tmp_path, url)

    with pytest.raises(BuildFailed) as caught:
        source.export(repo, head, target, env=ENV)

    assert caught.value.message.startswith(f"Submodule vendor/lib has {said.removeprefix('has ')}")
    assert caught.value.hint


def test_a_submodule_out_of_reach_says_which_and_hides_the_password(tmp_path: Path, target: Path) -> None:
    repo, head = with_submodule(tmp_path, "https://me:hunter2@127.0.0.1:1/lib.git")

    with pytest.raises(BuildFailed) as caught:
        source.export(repo, head, target, env=ENV)

    assert caught.value.message.startswith("Submodule vendor/lib cannot be fetched: https://127.0.0.1:1/lib.git at ")
    assert "hunter2" not in "".join((caught.value.message, *caught.value.tail))


def test_gitmodules_cannot_have_root_read_another_file(tmp_path: Path, target: Path) -> None:
    private = tmp_path / "gitconfig"
    private.write_text('[submodule "lib"]\n\tpath = a\n\turl = https://me:hunter2@127.0.0.1:1/lib.git\n')
    repo = tmp_path / "repo"
    pinned = commit(repo, {".gitmodules": f"[include]\n\tpath = {private}\n"})
    git("update-index", "--add", "--cacheinfo", f"160000,{pinned},a", cwd=repo)
    git("commit", "-qm", "m", cwd=repo)

    with pytest.raises(BuildFailed, match=r"Submodule a has no address in \.gitmodules"):
        source.export(repo / ".git", git("rev-parse", "HEAD", cwd=repo), target, env=ENV)


def test_the_netrc_of_the_servers_user_is_not_for_submodules(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(submodules, "_TIMEOUT", 10)
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        repo, head = with_submodule(tmp_path, f"http://127.0.0.1:{server.server_port}/lib.git")
        with pytest.raises(BuildFailed, match="cannot be fetched"):
            source.export(repo, head, target, env={**ENV, "HOME": str(tmp_path), "no_proxy": "*"}, protocols=("http",))
        server.shutdown()
    assert set(asked) == {None}


def test_a_submodule_without_an_entry_in_gitmodules(tmp_path: Path, target: Path) -> None:
    repo, _ = with_submodule(tmp_path, "https://example.org/x", path="a")
    work = repo.parent
    git("rm", "-q", "--cached", ".gitmodules", cwd=work)
    git("commit", "-qm", "m", cwd=work)

    with pytest.raises(BuildFailed, match=r"Submodule a has no address in \.gitmodules"):
        source.export(repo, git("rev-parse", "HEAD", cwd=work), target, env=ENV)


def test_a_commit_missing_at_the_address_names_it(tmp_path: Path, target: Path) -> None:
    repo, head = with_submodule(tmp_path, f"file://{tmp_path}/empty/.git")
    commit(tmp_path / "empty", {"a": "1"})

    with pytest.raises(BuildFailed, match=r"Submodule vendor/lib cannot be fetched: file://.*/empty/.git at "):
        source.export(repo, head, target, env=ENV, protocols=("file",))


@pytest.mark.parametrize(
    ("origin", "url", "resolved"),
    [
        ("https://host/team/app.git", "../lib.git", "https://host/team/lib.git"),
        ("https://host/team/app.git/", "../../other/lib", "https://host/other/lib"),
        ("git@host:team/app", "../lib", "git@host:team/lib"),
        ("git@host:app", "../lib", "git@host:lib"),
        ("ssh://git@host/a/b", "./sub", "ssh://git@host/a/b/sub"),
    ],
)
def test_relative_addresses_resolve_as_gits_own(origin: str, url: str, resolved: str) -> None:
    from gitpaas.git.submodules import _resolved

    assert _resolved(origin, url) == resolved


def test_only_a_directory_of_the_commit(tmp_path: Path, target: Path) -> None:
    repo = tmp_path / "repo"
    files = {"web/a.txt": "a", "web/deep/b.txt": "b", "web/skip.txt": "", "website/c.txt": "c", "top.txt": ""}
    commit(repo, {**files, ".gitattributes": "skip.txt export-ignore\n"})
    (repo / "web" / "link").symlink_to("../top.txt")
    oid = commit(repo, {})

    source.export(repo / ".git", oid, target, root="web")

    assert written(target) == {"a.txt", "deep/b.txt", "link"}
    assert (target / "link").readlink() == Path("../top.txt")


@pytest.mark.parametrize(("root", "what"), [("top.txt", "a file"), ("gone", "nothing"), ("there", "a link")])
def test_a_root_that_is_no_directory(tmp_path: Path, target: Path, root: str, what: str) -> None:
    repo = tmp_path / "repo"
    commit(repo, {"web/a.txt": "a", "top.txt": ""})
    (repo / "there").symlink_to("web")
    oid = commit(repo, {})

    with pytest.raises(BuildFailed, match=f"The app's root is {root}, and that is {what} in this commit"):
        source.export(repo / ".git", oid, target, root=root)

    assert written(target) == set()
