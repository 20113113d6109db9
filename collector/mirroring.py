"""Mirroring as the settings have it: which GitLab, with which token, by which rules, with which words.

The place where settings become a `Sync`, for the tick and for the command line. Connects to nothing until asked.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime

from triage import linking, links, ownership
from triage.errors import GitLabError, GitLabUnsure, InputError, SettingsError, StaleProblem
from triage.gitlab import Access, GitLab
from triage.hearing import Listen
from triage.issues import Issues
from triage.mirrors import LinkWish
from triage.service import Service
from triage.settings import Settings
from triage.settings.gitlab import GitLab as Section
from triage.suspecting import Suspecting
from triage.sync import Sync
from triage.watched import Trouble
from triage.words import Written


def access(its: Section) -> Access:
    """Say how to reach a GitLab, from its settings."""
    return Access(its.url, its.token.get_secret_value(), its.ca_file, its.timeout.total_seconds())


def way(settings: Settings, gitlab: str, project: str) -> Issues | None:
    """Return the way to a project: with the token set for it, else with one of that GitLab; None where there is none."""
    known = [its for its in (settings.gitlab, *settings.gitlabs.values()) if its.url == gitlab]
    named = [its for its in known if project in (its.project, *(route.project for route in its.routes.values()))]
    return next((GitLab(access(its)) for its in (*named, *known)), None)


def words(settings: Settings, service: Service, clock: Callable[[], datetime]) -> Written:
    """Return what writes the texts of issues."""
    urls = {name: its.url for name, its in settings.deployments.items()}
    return Written(
        service, clock, urls, settings.web.public_url, settings.gitlab.title, settings.gitlab.body,
        suspecting(settings, service, clock),
    )  # fmt: skip


def suspecting(settings: Settings, service: Service, clock: Callable[[], datetime]) -> Suspecting:
    """Return what tells the source and the suspects of failed tries: each deployment's GitLab, where it is not another's."""
    repositories = {name: its.repository for name, its in settings.deployments.items()}
    ways = {name: GitLab(access(its)) for name, its in settings.gitlabs.items() if its.is_on}
    return Suspecting(service, clock, repositories, ways.get)


def syncer(settings: Settings, service: Service, clock: Callable[[], datetime], listen: Listen | None = None) -> Sync:
    """Return what mirrors the problems of a store; SettingsError where no GitLab is set up."""
    if settings.gitlab.is_on and not settings.deployments:
        raise SettingsError(
            "No deployment is set up whose problems could get an issue.", "Set deployments.NAME.url and its login."
        )
    if not settings.gitlabs:
        raise SettingsError(
            "No GitLab is set up.", "Set gitlab.url, gitlab.token and gitlab.project, as docs/gitlab.md shows."
        )
    return Sync(
        service,
        {name: its.rules for name, its in settings.gitlabs.items()},
        lambda gitlab, project: way(settings, gitlab, project),
        words(settings, service, clock),
        clock,
        listen,
    )


@dataclass(frozen=True, slots=True)
class Repositories:
    """Reads files of the repositories that are at one of the GitLabs of the settings."""

    settings: Settings

    def file(self, repository: str, path: str) -> bytes | None:
        """Ask with each token that is set for the GitLab, as one of them may see what another, a project's own, does not."""
        every = [its for its in (self.settings.gitlab, *self.settings.gitlabs.values()) if its.url]
        here = (access(its) for its in every if repository.startswith(f"{links.home(its.url)}/"))
        for one in dict.fromkeys(here):
            with closing(GitLab(one)) as way:
                if (found := way.file(repository, path)) is not None:
                    return found
        return None


def ask_owners(settings: Settings, service: Service, now: datetime) -> list[Trouble]:
    """Ask for the CODEOWNERS of the DAGs' repositories where it is time; return what an operator should mend."""
    return ownership.refresh(service.store, settings.ownership, Repositories(settings), service.redactor, now)


def grant(settings: Settings, service: Service, clock: Callable[[], datetime]) -> None:
    """Link the issues that people at a page wished for; what GitLab refuses is said there, what is unsure is tried again."""
    for wish, revision in service.store.records(LinkWish, wake_before=clock()):
        try:
            _link(settings, service, wish, clock)
        except (InputError, GitLabError) as exc:
            told = replace(wish, said=service.redactor.text(str(exc)), is_waiting=isinstance(exc, GitLabUnsure))
            with suppress(StaleProblem):  # somebody wished for another meanwhile
                service.store.save(told, revision)
        else:
            with suppress(StaleProblem):
                service.store.delete(LinkWish, wish.problem, revision)


def _link(settings: Settings, service: Service, wish: LinkWish, clock: Callable[[], datetime]) -> None:
    gitlab = linking.at_gitlab(settings, wish.issue)
    at, problem = linking.place(gitlab, wish.issue), service.find(wish.problem)
    issues = way(settings, gitlab, at.project)
    if issues is None:
        raise InputError(f"The settings have no token for {gitlab}.", "Set gitlab.token.")
    with closing(issues):
        linking.link(
            service, issues, words(settings, service, clock), gitlab, problem, at, wish.who, clock(), origin="page"
        )
