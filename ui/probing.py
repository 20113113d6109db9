"""`airtriage doctor` on GitLab: the token, each project, our role there, the webhook; one finding each, with the fix.

Owns which checks there are and their order. Only reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from collector.mirroring import access
from triage.errors import GitLabError, GitLabGone, GitLabRefused, TriageError
from triage.gitlab import Access, GitLab
from triage.issues import PLANNER, Desk, Token, Webhook
from triage.settings import Settings
from triage.settings.gitlab import GitLab as Section
from ui.finding import Finding

MAINTAINER = 40
_ROLES = {
    5: "Minimal Access",
    10: "Guest",
    PLANNER: "Planner",
    20: "Reporter",
    30: "Developer",
    MAINTAINER: "Maintainer",
    50: "Owner",
}
_SOON = timedelta(days=14)  # a token that ends within these is told of
_PATH = "/webhooks/gitlab"


def check(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Check every GitLab of the settings, once a token; says nothing where GitLab is off."""
    base = settings.web.api_url or settings.web.public_url
    door = base.rstrip("/") + _PATH if base else f"{_PATH} of this page"
    for way, places in _ways(settings).items():
        gitlab = GitLab(way)
        try:
            yield from _gitlab(gitlab, way.url, places, door, now)
        finally:
            gitlab.close()


def _ways(settings: Settings) -> dict[Access, dict[str, Section]]:
    """Map each way to a GitLab to the projects that are reached by it: a project goes by the token that is set for it."""
    every = [its for its in (settings.gitlab, *settings.gitlabs.values()) if its.is_on]
    used = {(its.url, project) for its in settings.gitlabs.values() for project in _projects(its)}
    urls = {url for url, _ in used}
    found: dict[Access, dict[str, Section]] = {}
    placed: set[tuple[str, str]] = set()
    for its in every:
        for project in _projects(its):
            place = its.url, project
            if place not in placed and (place in used or its.url not in urls):
                placed.add(place)
                found.setdefault(access(its), {})[project] = its
    return found


def _projects(its: Section) -> list[str]:
    named = [its.project, *(route.project for route in its.routes.values() if route.open)]
    return list(dict.fromkeys(filter(None, named)))


def _gitlab(gitlab: GitLab, url: str, places: dict[str, Section], door: str, now: datetime) -> Iterator[Finding]:
    reached = _try("gitlab", lambda: f"GitLab {gitlab.version()} at {url}")
    yield reached
    if not reached.ok:
        return
    yield _token(gitlab, now)
    for project, its in sorted(places.items()):
        found: list[Desk] = []
        finding = _try(f"gitlab {project}", lambda project=project, found=found: _project(gitlab, project, found))  # type: ignore[misc]
        yield finding
        if found and finding.ok:
            yield _hook(gitlab, project, its, door)


def _token(gitlab: GitLab, now: datetime) -> Finding:
    name = "gitlab token"
    try:
        token = gitlab.token()
    except (GitLabGone, GitLabRefused):
        return Finding(name, True, "GitLab does not tell about it; the checks of the projects show what it may")
    except GitLabError as exc:
        return Finding(name, False, exc.what, exc.fix)
    if "api" not in token.scopes:
        has = ", ".join(token.scopes) or "none"
        return Finding(
            name, False, f"it lacks the scope api; it has {has}.", "Make one with the scope api and set gitlab.token."
        )
    return _lasting(name, token, now)


def _lasting(name: str, token: Token, now: datetime) -> Finding:
    if token.expires_at is None:
        return Finding(name, True, "has the scope api and does not expire")
    left = token.expires_at - now.date()
    text = f"has the scope api and expires on {token.expires_at}, in {left.days} days"
    if left > _SOON:
        return Finding(name, True, text)
    return Finding(name, False, f"{text}.", "Make a new one in time, and set gitlab.token.")


def _project(gitlab: GitLab, project: str, found: list[Desk]) -> str:
    desk = gitlab.desk(project)
    found.append(desk)
    if desk.role is None:
        return f"{desk.bot} may see it; GitLab does not tell its role"
    role = _ROLES.get(desk.role, f"with the access level {desk.role}")
    if desk.role < PLANNER:
        raise GitLabRefused(
            f"{desk.bot} is {role} there: GitLab leaves labels and assignees out of its issues without a word.",
            "Give it the role Reporter in the project.",
        )
    is_former = not project.isdigit() and not desk.web_url.lower().endswith(f"/{project.lower()}")
    renamed = f"; it was renamed, correct gitlab.project: {desk.web_url}" if is_former else ""
    return f"{desk.bot} is {role} there, and may open issues with labels{renamed}"


def _hook(gitlab: GitLab, project: str, its: Section, door: str) -> Finding:
    name = f"gitlab {project} webhook"
    has_secret = bool(its.webhook_token.get_secret_value() or its.webhook_signing_token.get_secret_value())
    if not has_secret:
        return Finding(name, True, "none is set up here; what changes in GitLab is seen at the next round")
    try:
        hooks = [hook for hook in gitlab.webhooks(project) if hook.url.rstrip("/").endswith(_PATH)]
    except (GitLabRefused, GitLabGone):
        return Finding(name, True, "cannot be read with this role, which takes a Maintainer; look at it in GitLab")
    except GitLabError as exc:
        return Finding(name, False, exc.what, exc.fix)
    if not hooks:
        fix = f"Add one to {door} in the project's settings, or take the secrets out of [gitlab]."
        return Finding(name, False, f"no webhook of the project leads to {_PATH}.", fix)
    ours = [hook for hook in hooks if hook.url.rstrip("/") == door] or hooks
    return _state(name, ours[0], its)


def _state(name: str, hook: Webhook, its: Section) -> Finding:
    if hook.alert not in ("", "executable"):
        until = f" until {hook.disabled_until:%Y-%m-%d %H:%M} UTC" if hook.disabled_until else ""
        return Finding(
            name, False, f"GitLab has switched it off{until} ({hook.alert}), as it was answered with errors.",
            "See its recent events in GitLab for what was answered, mend that, and test it there.",
        )  # fmt: skip
    if hook.missing:
        return Finding(
            name, False, f"it does not send {' and '.join(hook.missing)}.", "Tick them in the webhook's settings."
        )
    if its.webhook_signing_token.get_secret_value() and hook.is_signed is False:
        fix = "Give it the signing token of gitlab.webhook_signing_token in GitLab, or set gitlab.webhook_token in its place."
        return Finding(name, False, "it has no signing token, so what it sends is refused here.", fix)
    return Finding(name, True, "GitLab sends what changes")


def _try(name: str, ask: Callable[[], object]) -> Finding:
    try:
        return Finding(name, True, str(ask()))
    except TriageError as exc:
        return Finding(name, False, exc.what, exc.fix)
