"""The repository of a project, answered from a real git repository: history of a path, commits, differences, blame, files."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path
from typing import Any

from tests.gitlab_calls import Answer, Call, Refused, paged, route
from tests.gitlab_projects import merge_requests_of, merge_requests_shown
from tests.gitlab_state import Project

R = "/projects/{id}/repository"
_FORMAT = "%x1e%H%x1f%P%x1f%an%x1f%ae%x1f%aI%x1f%cn%x1f%ce%x1f%cI%x1f%B"


def git(repository: Path, *args: str) -> bytes:
    """Run git there and return what it prints; raises CalledProcessError where git refuses."""
    return subprocess.run(["git", "-C", str(repository), *args], check=True, capture_output=True).stdout


def _git(call: Call, missing: str, *args: str) -> bytes:
    repository = call.project().repository
    if repository is None:
        raise Refused(404, f"404 {missing} Not Found")
    try:
        return git(repository, *args)
    except subprocess.CalledProcessError:
        raise Refused(404, f"404 {missing} Not Found") from None


def _commits(call: Call, *args: str) -> list[dict[str, Any]]:
    project = call.project()
    printed = _git(call, "Commit", "log", f"--format={_FORMAT}", *args).decode()
    return [_commit(call, project, record) for record in printed.split("\x1e")[1:]]


def _commit(call: Call, project: Project, record: str) -> dict[str, Any]:
    sha, parents, author, author_mail, authored, committer, mail, committed, message = record.removesuffix("\n").split(
        "\x1f"
    )
    return {
        "id": sha,
        "short_id": sha[:8],
        "title": message.split("\n")[0],
        "message": message,
        "created_at": committed,
        "parent_ids": parents.split(),
        "author_name": author,
        "author_email": author_mail,
        "authored_date": authored,
        "committer_name": committer,
        "committer_email": mail,
        "committed_date": committed,
        "trailers": {},
        "project_id": project.id,
        "web_url": f"{call.fake.url}/{project.path}/-/commit/{sha}",
    }


def _rev(call: Call, name: str | None, missing: str = "Commit") -> str:
    """Return the sha of a branch, a tag or a sha, or the range between two; the default branch where none is named."""
    rev = name or call.project().default_branch
    if ".." in rev:
        first, last = (_rev(call, end, missing) for end in rev.split(".."))
        return f"{first}..{last}"
    if rev.startswith("-"):
        raise Refused(404, f"404 {missing} Not Found")
    return _git(call, missing, "rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}").decode().strip()


@route("GET", f"{R}/commits")
def commits(call: Call) -> Answer:
    query = call.query
    args = [f"--{name}={query[name]}" for name in ("since", "until") if name in query]
    if query.get("first_parent", "").lower() in ("true", "1"):
        args.append("--first-parent")
    path = ["--", query["path"]] if "path" in query else []
    return paged(call, _commits(call, *args, _rev(call, query.get("ref_name")), *path), lambda row: row)


@route("GET", f"{R}/commits/{{sha}}")
def commit(call: Call) -> Any:
    return _commits(call, "-1", _rev(call, call.params["sha"]))[0]


def _diffs(call: Call, *args: str) -> list[dict[str, Any]]:
    """Return what `git diff` or `git show` prints, a row for each file."""
    raw = _git(call, "Commit", *args, "--raw", "-z", "--abbrev=40", "-M").decode().split("\0")
    rows, at = [], 0
    while at < len(raw):
        fields = raw[at].lstrip("\n").split(" ")
        if not fields[0].startswith(":"):
            at += 1
            continue
        kind = fields[4][0]
        old, new = raw[at + 1], raw[at + 2] if kind in "RC" else raw[at + 1]
        at += 3 if kind in "RC" else 2
        patch = _git(call, "Commit", *args, "-p", "-M", "--", old, new).decode("utf-8", "replace")
        start = patch.find("\n@@ ")
        rows.append(
            {
                "old_path": old,
                "new_path": new,
                "a_mode": fields[0].lstrip(":"),
                "b_mode": fields[1],
                "new_file": kind == "A",
                "renamed_file": kind == "R",
                "deleted_file": kind == "D",
                "generated_file": False,
                "diff": patch[start + 1 :] if start >= 0 else "",
            }
        )
    return rows


@route("GET", f"{R}/commits/{{sha}}/diff")
def diff(call: Call) -> Answer:
    return paged(call, _diffs(call, "show", "--format=", _rev(call, call.params["sha"])), lambda row: row)


@route("GET", f"{R}/commits/{{sha}}/merge_requests")
def merge_requests(call: Call) -> Answer:
    sha = _rev(call, call.params["sha"])
    rows = [row for row in merge_requests_of(call, call.project()) if sha in (row.sha, row.merge_commit, *row.commits)]
    return merge_requests_shown(call, [row for row in rows if call.query.get("state", "all") in ("all", row.state)])


@route("GET", f"{R}/compare")
def compare(call: Call) -> Any:
    first, last = _rev(call, call.query["from"], "Ref"), _rev(call, call.query["to"], "Ref")
    straight = call.query.get("straight", "").lower() in ("true", "1")
    found = list(reversed(_commits(call, f"{first}..{last}")))
    return {
        "commit": found[-1] if found else None,
        "commits": found,
        "diffs": _diffs(call, "diff", f"{first}{'..' if straight else '...'}{last}"),
        "compare_timeout": False,
        "compare_same_ref": first == last,
        "web_url": f"{call.fake.url}/{call.project().path}/-/compare/{first}...{last}",
    }


@route("GET", f"{R}/merge_base")
def merge_base(call: Call) -> Any:
    shas = [_rev(call, name) for name in call.every("refs[]")]
    if len(shas) < 2:
        raise Refused(400, "Provide at least 2 refs")
    return _commits(call, "-1", _git(call, "Merge Base", "merge-base", *shas).decode().strip())[0]


@route("GET", f"{R}/tree")
def tree(call: Call) -> Answer:
    query = call.query
    args = ["-r", "-t"] if query.get("recursive", "").lower() in ("true", "1") else []
    path = query.get("path", "").strip("/")
    rev = _rev(call, query.get("ref"), "Tree")
    printed = _git(call, "Tree", "ls-tree", "-z", *args, rev, *([f"{path}/"] if path else [])).decode()
    rows = []
    for line in printed.split("\0")[:-1]:
        about, _, name = line.partition("\t")
        mode, kind, sha = about.split()
        rows.append({"id": sha, "name": name.rpartition("/")[2], "type": kind, "path": name, "mode": mode})
    if path and not rows:
        raise Refused(404, "404 invalid revision or path Not Found")
    return paged(call, rows, lambda row: row)


def _blob(call: Call) -> tuple[str, str, bytes]:
    rev, path = _rev(call, _ref(call)), call.params["path"]
    return rev, path, _git(call, "File", "cat-file", "blob", f"{rev}:{path}")


def _ref(call: Call) -> str | None:
    ref = call.query.get("ref")
    return None if ref == "HEAD" else ref


@route("GET", f"{R}/files/{{path}}")
def file(call: Call) -> Any:
    rev, path, content = _blob(call)
    return {
        "file_name": path.rpartition("/")[2],
        "file_path": path,
        "size": len(content),
        "encoding": "base64",
        "content": base64.b64encode(content).decode(),
        "content_sha256": hashlib.sha256(content).hexdigest(),
        "ref": call.query["ref"],
        "blob_id": _git(call, "File", "rev-parse", f"{rev}:{path}").decode().strip(),
        "commit_id": rev,
        "last_commit_id": _git(call, "File", "log", "-1", "--format=%H", rev, "--", path).decode().strip(),
        "execute_filemode": False,
    }


@route("GET", f"{R}/files/{{path}}/raw")
def raw(call: Call) -> Answer:
    return Answer(200, _blob(call)[2].decode("utf-8", "replace"))


@route("GET", f"{R}/files/{{path}}/blame")
def blame(call: Call) -> Any:
    rev, path, _ = _blob(call)
    span = (call.query.get("range[start]"), call.query.get("range[end]"))
    args = ["-L", f"{span[0]},{span[1]}"] if all(span) else []
    printed = _git(call, "File", "blame", "--line-porcelain", *args, rev, "--", path).decode("utf-8", "replace")
    rows: list[dict[str, Any]] = []
    sha = ""
    for line in printed.split("\n"):
        if line.startswith("\t"):
            if not rows or rows[-1]["commit"]["id"] != sha:
                found = _commits(call, "-1", sha)[0]
                rows.append({"commit": found, "lines": []})
            rows[-1]["lines"].append(line[1:])
        elif len(line.split(" ")[0]) == 40:
            sha = line.split(" ")[0]
    return rows
