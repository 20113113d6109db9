"""GitLab's answers as facts: each a function of one object of its JSON, by the shapes of its REST API.

Pure. Raises KeyError, TypeError or ValueError for what no GitLab answers, as a proxy in its place does.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from triage.errors import GitLabRefused
from triage.issues import Desk, Fix, Issue, Note, Token, Turn, Webhook
from triage.suspects import Commit, MergeRequest


def time(text: str) -> datetime:
    """Read a time as GitLab writes it."""
    return datetime.fromisoformat(text)


def desk(its: dict[str, Any], project: str, bot: str, bot_id: int) -> Desk:
    """Read a project; GitLabRefused where its issues are switched off."""
    if its.get("issues_access_level") == "disabled" or its.get("issues_enabled") is False:
        raise GitLabRefused(
            f"The project {project} has its issues switched off.",
            "Switch them on in its settings, or correct gitlab.project.",
        )
    granted = its.get("permissions") or {}
    roles = [its["access_level"] for its in (granted.get("project_access"), granted.get("group_access")) if its]
    return Desk(its["id"], its.get("web_url") or "", bot, bot_id, max(roles, default=None))


def token(its: dict[str, Any]) -> Token:
    """Read what a token may do, and how long."""
    ends = its.get("expires_at")
    return Token(tuple(its.get("scopes") or ()), date.fromisoformat(ends[:10]) if ends else None)


def role(its: dict[str, Any]) -> int:
    """Read the role of a member, 0 for one who is not active."""
    return int(its["access_level"]) if its.get("membership_state", "active") == "active" else 0


def turn(its: dict[str, Any]) -> Turn | None:
    """Read when an issue was closed or reopened; None for an event of another kind."""
    if its["state"] not in ("closed", "reopened"):
        return None
    by = its.get("user") or {}
    return Turn(its["state"] == "reopened", by.get("username") or "", time(its["created_at"]), by.get("id") or 0)


def fix(its: dict[str, Any]) -> Fix | None:
    """Read a merge request that closes an issue; None for one that was not merged."""
    if its["state"] != "merged" or not its.get("merged_at"):
        return None
    return Fix(
        its["iid"], its["web_url"], (its.get("merged_by") or {}).get("username") or "", time(its["merged_at"]),
        its.get("merge_commit_sha") or its.get("squash_commit_sha") or its.get("sha") or "",
        its["project_id"],
    )  # fmt: skip


def commit(its: dict[str, Any]) -> Commit:
    """Read a commit."""
    return Commit(its["id"], its["title"], its["author_name"], time(its["committed_date"]), its["web_url"])


def merge_request(its: dict[str, Any]) -> MergeRequest:
    """Read a merge request of a commit."""
    return MergeRequest(its["iid"], its["title"], its["web_url"], (its.get("author") or {}).get("name") or "")


def issue(its: dict[str, Any]) -> Issue:
    """Read an issue."""
    assignees = its.get("assignees") or []
    return Issue(
        id=its["id"],
        iid=its["iid"],
        project_id=its["project_id"],
        title=its["title"],
        description=its.get("description") or "",
        is_open=its["state"] != "closed",
        web_url=its["web_url"],
        author=(its.get("author") or {}).get("username") or "",
        created_at=time(its["created_at"]),
        updated_at=time(its["updated_at"]),
        labels=tuple(its.get("labels") or ()),
        assignee=assignees[0]["username"] if assignees else "",
        closed_at=time(its["closed_at"]) if its.get("closed_at") else None,
        closed_by=(its.get("closed_by") or {}).get("username") or "",
        closed_by_id=(its.get("closed_by") or {}).get("id") or 0,
        author_id=(its.get("author") or {}).get("id") or 0,
        moved_to=its.get("moved_to_id"),
        confidential=bool(its.get("confidential")),
    )


def note(its: dict[str, Any]) -> Note:
    """Read a comment."""
    author = its.get("author") or {}
    return Note(
        its["id"], its["body"], author.get("username") or "", author.get("id") or 0, time(its["created_at"]),
        bool(its.get("system")),
    )  # fmt: skip


_NEEDED = {
    "issues_events": "issues", "confidential_issues_events": "confidential issues", "note_events": "comments",
    "confidential_note_events": "confidential comments",
}  # fmt: skip


def webhook(its: dict[str, Any]) -> Webhook:
    """Read a webhook, and what it does not send that is needed."""
    until = its.get("disabled_until")
    missing = tuple(words for name, words in _NEEDED.items() if its.get(name) is False)
    return Webhook(
        its["url"],
        its.get("alert_status") or "",
        time(until) if until else None,
        missing,
        its.get("signing_token_present"),
    )
