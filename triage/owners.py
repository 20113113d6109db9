"""Who owns a problem, and why. Pure: a person's word, the rules in the settings, CODEOWNERS, what Airflow says; in this order.

Owns that order, how a rule matches, and which GitLab users stand behind a name. Each task of a problem is asked for apart,
so a problem over several DAGs has several owners, those of most of its failures first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from fnmatch import translate
from functools import lru_cache

from triage import codeowners
from triage.errors import InputError
from triage.lifecycle import Actor, Decision, stand
from triage.links import home
from triage.records import Change, Dag, Problem
from triage.tokens import fold

# Airflow's own default ([operators] default_owner): it names nobody.
_AIRFLOWS_DEFAULT = "airflow"
# What takes an assignment back.
NOBODY = "nobody"
_LONGEST = 100  # characters of a name
_TAG = re.compile(r"(?:owner|team)\s*[:=]\s*(.+)", re.I)
# Where a file of the repository lies below a checkout of Airflow's Git bundles (`GitDagBundle`).
_IN_BUNDLE = re.compile(r"/(?:versions/[0-9a-f]{40}|tracking_repo)/(.+)$")
_USER = re.compile(r"@?(\w[\w.-]*)")


class Source(StrEnum):
    """Who says who owns a problem, the weightiest first."""

    PERSON = "assigned"
    RULE = "rule"
    CODEOWNERS = "CODEOWNERS"
    TAG = "tag"
    AIRFLOW = "Airflow"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the settings: the failures that all of its patterns match (`*` and `?`, any case) have these owners.

    An empty pattern matches everything. `gitlab` are the GitLab users that issues are assigned to.
    """

    name: str
    owner: tuple[str, ...]
    deployment: str = ""
    dag: str = ""
    task: str = ""
    tag: str = ""
    cause: str = ""
    gitlab: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Owner:
    """The owners of a problem, those of most of its failures first; who says so of the first, and by what.

    `users` are the GitLab users that the settings name for them. Without names nobody is known to own it.
    """

    names: tuple[str, ...] = ()
    source: Source | None = None
    by: str = ""
    users: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """Say why: `by CODEOWNERS dags/etl/*`; empty where nobody owns it."""
        match self.source:
            case None:
                return ""
            case Source.PERSON:
                return "assigned by a person"
            case Source.RULE:
                return f"by the rule {self.by}"
            case Source.CODEOWNERS:
                return f"by CODEOWNERS {self.by}"
            case Source.TAG:
                return f"by the DAG's tag {self.by}"
            case Source.AIRFLOW:
                return f"as Airflow says of {self.by}"

    def is_called(self, name: str, prefix: bool = False) -> bool:
        """Say whether one of the names is this folded one, or begins with it, with or without its `@`; nobody without any."""
        if name == NOBODY or not (name or prefix):
            return not self.names
        return _is_among(self.names, name, prefix)

    def is_team(self, name: str, prefix: bool = False) -> bool:
        """Say whether one of the names is a team that is called so, or begins so, with or without its `@`."""
        return _is_among((one for one in self.names if one.startswith("@")), name, prefix)


def _is_among(names: Iterable[str], name: str, prefix: bool) -> bool:
    folded, wanted = (fold(one).lstrip("@") for one in names), name.lstrip("@")  # a role has two: @@maintainer
    return any(one.startswith(wanted) if prefix else one == wanted for one in folded)


NO_OWNER = Owner()


@dataclass(frozen=True, slots=True)
class Repository:
    """Where the DAGs of a deployment lie, as the settings say: an address, and where it is checked out for Airflow."""

    url: str = ""
    checkout: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """A task in which a problem failed, and the owners that Airflow names with it."""

    deployment: str
    dag_id: str
    task_id: str
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ownership:
    """All that ownership is told by. `dags` are what Airflow says of DAGs, `files` the texts of CODEOWNERS by repository.

    One is made for one look at the problems; it remembers what it found for a task and a cause.
    """

    rules: tuple[Rule, ...] = ()
    repositories: Mapping[str, Repository] = field(default_factory=dict)
    dags: Mapping[tuple[str, str], Dag] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    _found: dict[tuple[Task, str], Owner] = field(default_factory=dict, repr=False, compare=False)
    _of_dags: dict[tuple[str, str], Owner | None] = field(default_factory=dict, repr=False, compare=False)

    def of(self, problem: Problem, tasks: Iterable[Task]) -> Owner:
        """Return who owns a problem; `tasks` are those it failed in, most failures first."""
        if problem.owner:
            return Owner((problem.owner,), Source.PERSON, users=self.users(problem.owner))
        every = [self._of_task(task, problem.cause) for task in tasks]
        named = [owner for owner in every if owner.names]
        if not named:
            return NO_OWNER
        names = dict.fromkeys(name for owner in named for name in owner.names)
        users = dict.fromkeys(user for owner in named for user in owner.users)
        return replace(named[0], names=tuple(names), users=tuple(users))

    def repository(self, deployment: str) -> Repository:
        """Return where the settings say that a deployment's DAGs lie."""
        return self.repositories.get(deployment, Repository())

    def users(self, name: str) -> tuple[str, ...]:
        """Return the GitLab users that the rules give for this owner."""
        wanted = name.casefold().lstrip("@")
        rules = (rule for rule in self.rules if any(one.casefold().lstrip("@") == wanted for one in rule.owner))
        return tuple(dict.fromkeys(user for rule in rules for user in rule.gitlab))

    def known(self) -> list[str]:
        """Return the owners that rules and CODEOWNERS name, for a person who chooses one."""
        parts = [part for text in self.files.values() for part in codeowners.parse(text)]
        told = (name for part in parts for entry in part.entries for name in entry.owners)
        return sorted({*(name for rule in self.rules for name in rule.owner), *told}, key=str.casefold)

    def _of_task(self, task: Task, cause: str) -> Owner:
        key = (task, cause)
        if key not in self._found:
            self._found[key] = self._by_rule(task, cause) or self._of_dag(task) or self._by_airflow(task)
        return self._found[key]

    def _by_rule(self, task: Task, cause: str) -> Owner | None:
        tags = self._dag(task).tags
        rule = next((rule for rule in self.rules if _matches(rule, task, tags, cause)), None)
        return Owner(rule.owner, Source.RULE, rule.name, rule.gitlab or self._users_of(rule.owner)) if rule else None

    def _of_dag(self, task: Task) -> Owner | None:
        key = (task.deployment, task.dag_id)
        if key not in self._of_dags:
            self._of_dags[key] = self._by_file(task)
        return self._of_dags[key]

    def _by_file(self, task: Task) -> Owner | None:
        repository, path = place(self._dag(task), self.repository(task.deployment))
        text = self.files.get(repository, "") if path else ""
        claims = codeowners.claims(codeowners.parse(text), path) if text else ()
        if not claims:
            return None
        names = tuple(dict.fromkeys(name for claim in claims for name in claim.owners))
        return Owner(names, Source.CODEOWNERS, claims[0].pattern, self._users_of(names))

    def _by_airflow(self, task: Task) -> Owner:
        for tag in self._dag(task).tags:
            if told := _TAG.fullmatch(tag):
                return Owner((told[1].strip(),), Source.TAG, tag, self.users(told[1].strip()))
        parts = [part.strip() for owner in task.owners for part in owner.split(",")]
        names = tuple(dict.fromkeys(part for part in parts if part and part.casefold() != _AIRFLOWS_DEFAULT))
        of = f"{task.dag_id}.{task.task_id}"
        return Owner(names, Source.AIRFLOW, of, self._users_of(names)) if names else NO_OWNER

    def _users_of(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(user for name in names for user in self.users(name)))

    def _dag(self, task: Task) -> Dag:
        return self.dags.get((task.deployment, task.dag_id)) or Dag(task.deployment, task.dag_id)


NO_RULES = Ownership()


def place(dag: Dag, repository: Repository) -> tuple[str, str]:
    """Return the address of the repository that a DAG is in, and its file's path there; each empty where it is not known.

    Airflow's Git bundles tell both; for any other, the settings say where the repository is, and where it is checked out.
    """
    url = home(dag.bundle_url.partition("/-/tree/")[0]) if "/-/tree/" in dag.bundle_url else ""
    if told := _IN_BUNDLE.search(dag.file):
        return url or repository.url, told[1]
    root = repository.checkout.rstrip("/") + "/"
    path = dag.file.removeprefix(root) if repository.checkout and dag.file.startswith(root) else ""
    return url or repository.url, path


def assignees(owner: Owner) -> tuple[str, ...]:
    """Return the names under which GitLab may know a user to assign an issue to, the best first.

    The users that the settings name; else, where a person or CODEOWNERS names the owner, the name itself, if it could be
    a user's: GitLab has to be asked, it may be a group's. An owner in Airflow is no user of GitLab until a rule says so.
    """
    if owner.users:
        return owner.users
    if owner.source not in (Source.PERSON, Source.CODEOWNERS, Source.RULE):
        return ()
    said = (name for name in owner.names if owner.source is not Source.RULE or name.startswith("@"))
    return tuple(match[1] for name in said if (match := _USER.fullmatch(name)))


def assign(
    problem: Problem, name: str, who: str, now: datetime, why: str = "", origin: str = "command", given: str | None = None
) -> Decision:  # fmt: skip
    """Make somebody the owner of a problem; `nobody` takes that back. InputError for a bad name, or nothing new.

    With `given`, the name that a person is known to have assigned it to, or empty, only where that still holds.
    """
    name = " ".join(name.split())
    try:
        checked(name)
    except ValueError as exc:
        raise InputError(f"The owner {name[:_LONGEST]!r} cannot be set: {exc}.") from exc
    owner = "" if name.casefold() == NOBODY else name
    if owner == problem.owner:
        raise InputError(f"Problem {problem.id} is assigned to {owner or NOBODY} already.")
    if given is not None and given != problem.owner:
        raise InputError(
            f"Problem {problem.id} is assigned to {problem.owner or NOBODY} by now, so nothing was changed."
        )
    what = f"assigned it to {owner}" if owner else f"took back the assignment to {problem.owner}"
    changed = replace(problem, owner=owner, undo=stand(problem, what, Actor(who, now, why, origin)))
    return Decision(changed, Change(problem.id, now, who, what, why, origin))


def checked(name: str) -> str:
    """Return the name of an owner as it is; ValueError where it cannot be one."""
    if not name.strip() or len(name) > _LONGEST or not name.isprintable():
        raise ValueError(f"a name has 1 to {_LONGEST} printable characters")
    return name


def _matches(rule: Rule, task: Task, tags: Iterable[str], cause: str) -> bool:
    deployment, dag, name, tag, of_cause = _patterns(rule)
    return (
        (dag is None or dag(task.dag_id) is not None)
        and (deployment is None or deployment(task.deployment) is not None)
        and (of_cause is None or of_cause(cause) is not None)
        and (name is None or name(task.task_id) is not None or name(f"{task.dag_id}.{task.task_id}") is not None)
        and (tag is None or any(tag(one) is not None for one in tags))
    )


@lru_cache(maxsize=4096)
def _patterns(rule: Rule) -> tuple[Callable[[str], re.Match[str] | None] | None, ...]:
    """Return what its patterns match, None for an empty one: each is tried on thousands of tasks."""
    texts = (rule.deployment, rule.dag, rule.task, rule.tag, rule.cause)
    return tuple(re.compile(translate(text), re.I).match if text else None for text in texts)
