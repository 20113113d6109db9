"""What is kept of GitLab: the issue of a problem, how far a project was read, and what its webhook told.

Pure records, like those of `records`. Times are on our clock unless a field says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from triage.watched import Trouble


class MirrorStatus(StrEnum):
    """What is known of the GitLab issue of a problem.

    INTENDED: it is to be opened, and may exist already. LOST: it was deleted or cannot be seen any more; nothing opens
    another. UNLINKED: a person parted them.
    """

    INTENDED = "intended"
    LINKED = "linked"
    LOST = "lost"
    UNLINKED = "unlinked"


@dataclass(frozen=True, slots=True)
class Mirror:
    """The GitLab issue of a problem, one a problem: an intent before anything is sent, then the link, which holds.

    `gitlab` is the address, `project` the path (or number) it is reached by. `sent_at` is None while certainly nothing was
    sent; `looked_at` is when its issue was last looked for in vain after that, `title` what it was called when it was sent. `is_open`, `assignee` and `labels` are
    as both sides last agreed, `updated_at` the issue's own time as last seen (GitLab's clock), `is_fresh` while that is so new that its comments are read once more. `block` is the digest of the
    block of ours that was last written, at `written_at`, `told` the digest of what it was made from; `dags` in how many the problem was when that was last told; `comments` the keys
    of the comments made, `saying` that of one that is being made since `saying_at`, `heard` the id of the last comment
    listened to, `turned` when we last closed or reopened it. `next_at`: nothing is done before. `said` is what
    went wrong. `asked_by` is the person who asked for it, whatever the policy says. Times on our clock.
    """

    problem: str
    gitlab: str
    project: str
    status: MirrorStatus
    intended_at: datetime
    sent_at: datetime | None = None
    looked_at: datetime | None = None
    attempts: int = 0
    title: str = ""
    project_id: int = 0
    issue_id: int = 0
    iid: int = 0
    web_url: str = ""
    is_open: bool = True
    assignee: str = ""
    labels: tuple[str, ...] = ()
    updated_at: datetime | None = None
    is_fresh: bool = False
    linked_at: datetime | None = None
    saying: str = ""
    saying_at: datetime | None = None
    block: str = ""
    written_at: datetime | None = None
    told: str = ""
    dags: int = 0
    comments: tuple[str, ...] = ()
    heard: int = 0
    turned: tuple[datetime, ...] = ()
    next_at: datetime | None = None
    said: str = ""
    asked_by: str = ""


@dataclass(frozen=True, slots=True)
class LinkWish:
    """Somebody at a page wants an issue that exists linked to a problem, one a problem: a wish until a collector granted it.

    `issue` is what they named it by. `said` is why it was not granted, or not yet. Times on our clock.
    """

    problem: str
    issue: str
    who: str
    at: datetime
    said: str = ""
    is_waiting: bool = True


@dataclass(frozen=True, slots=True)
class Tracker:
    """The issues of one GitLab project: who we are there, how far they were read, and what an operator should mend.

    Every issue of ours created before `found_until` is known here; whatever changed before `read_until` was heard (both
    GitLab's clock). `checked_at`: when last every linked issue was seen to exist. After a refusal nothing is asked before
    `next_at`. `heard_at` is when it last answered, `steady_at` since when it was asked without a long silence: before that
    the store may have been restored. `bots` are the users of former tokens, `labels` those that issues were found by, the
    newest first. Times on our clock but for those two.
    """

    gitlab: str
    project: str
    project_id: int = 0
    web_url: str = ""
    bot: str = ""
    bot_id: int = 0
    greeted_at: datetime | None = None
    found_until: datetime | None = None
    read_until: datetime | None = None
    checked_at: datetime | None = None
    heard_at: datetime | None = None
    steady_at: datetime | None = None
    failures: int = 0
    next_at: datetime | None = None
    troubles: tuple[Trouble, ...] = ()
    bots: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return tracker_id(self.gitlab, self.project)

    def is_ours(self, user: int) -> bool:
        """Say whether this user, by number, is or was ours: what it does there is no person's doing."""
        return user in (self.bot_id, *self.bots)


def tracker_id(gitlab: str, project: str) -> str:
    """Return the id of the tracker of a project, which its lease has too."""
    return f"{gitlab} {project}"


class HeardKind(StrEnum):
    """What a webhook of GitLab may tell of."""

    ISSUE = "issue"
    NOTE = "note"
    MERGE = "merge request"
    DEPLOY = "deployment"


@dataclass(frozen=True, slots=True)
class Heard:
    """Something of GitLab that changed, as its webhook told: one record a thing, however often it is told.

    `gitlab` is the address of that GitLab as it is set, `project` GitLab's number of the project, `number` the iid of the
    issue or merge request, or the number of the deployment; a note counts by its issue. `at` (our clock) is when it was
    told last, `by` GitLab's number of the account that did it, 0 where several did. `keys` are the last deliveries about it.
    `is_waiting` until somebody has asked GitLab what it is now.
    """

    gitlab: str
    project: int
    kind: HeardKind
    number: int
    at: datetime
    by: int = 0
    keys: tuple[str, ...] = ()
    is_waiting: bool = True

    @property
    def id(self) -> str:
        """The same for all that is told of this thing."""
        return f"{self.gitlab} {self.project} {self.kind} {self.number}"
