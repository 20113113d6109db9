"""The section `gitlab` of the settings: which GitLab, when a problem gets an issue there, in which project, with what.

What a deployment sets for itself lies over the section; what is left goes to `policy` as rules. A section that is begun
but names no address, token or project is refused with the name of what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from triage.errors import SettingsError
from triage.policy import Route, Rules, Threshold
from triage.settings.section import Section, Span
from triage.settings.values import address, listed, span

_OFTEN = re.compile(r"(\d{1,6})(?:\s+in\s+(\S+))?\Z")
_PROJECT = re.compile(r"\d+|[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+")
_USERNAME = re.compile(r"[A-Za-z0-9_.-]+")


def often(value: object) -> object:
    """Read a number of failures: `3`, or `5 in 1h`."""
    if isinstance(value, Threshold | None):
        return value
    match = _OFTEN.match(str(value).strip())
    if not match or int(match[1]) < 1:
        raise ValueError(f"{value!r} is not a number of failures such as 1, 3 or '5 in 1h'")
    within = span(match[2]) if match[2] else None
    if within is not None and within <= timedelta(0):
        raise ValueError("the span after 'in' must be longer than nothing")
    return Threshold(int(match[1]), within)


def _address(value: str) -> str:
    if "?" in value or "#" in value:
        raise ValueError(
            "it holds a ? or #; the address of GitLab's page is wanted, such as https://gitlab.example.com"
        )
    return address(value, "token").removesuffix("/api/v4") if value else value


def _project(value: str) -> str:
    value = value.strip("/")
    if value and not _PROJECT.fullmatch(value):
        raise ValueError(f"{value!r} is not the path of a project, such as group/airflow, nor its number")
    return value


def _labels(value: tuple[str, ...]) -> tuple[str, ...]:
    labels = tuple(label.strip() for label in value)
    for label in labels:
        if not label or "," in label or len(label) > 255:
            raise ValueError(f"{label[:40]!r} is no label: it is empty, holds a comma or is longer than 255 characters")
        if label.lower() in ("any", "none"):
            raise ValueError(
                f"{label!r} is what GitLab's lists call all labels or no label; no issue would be found by it"
            )
    return labels


def _username(value: str) -> str:
    value = value.removeprefix("@")
    if value and not _USERNAME.fullmatch(value):
        raise ValueError(f"{value!r} is not the name of a GitLab user, such as anna.schmidt")
    return value


def _word(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]*", value.get_secret_value()):
        raise ValueError("it is not one word of plain ASCII")
    return value


def _template(value: str, *, as_title: bool) -> str:
    if not value.strip():
        return ""
    from triage.proof import checked_template  # brings Jinja along, which most commands do not need

    try:
        return checked_template(value, "it", as_title=as_title)
    except SettingsError as exc:
        raise ValueError(exc.what.rstrip(".")) from exc


Often = Annotated[Threshold, BeforeValidator(often)]
Address = Annotated[str, AfterValidator(_address)]
Project = Annotated[str, BeforeValidator(str), AfterValidator(_project)]
Labels = Annotated[tuple[str, ...], BeforeValidator(listed), AfterValidator(_labels)]
Username = Annotated[str, AfterValidator(_username)]
Word = Annotated[SecretStr, AfterValidator(_word)]
TitleTemplate = Annotated[str, AfterValidator(partial(_template, as_title=True))]
BodyTemplate = Annotated[str, AfterValidator(partial(_template, as_title=False))]
Names = Annotated[tuple[str, ...], BeforeValidator(listed)]


class GitLabRoute(Section):
    """One rule on where the issue of a problem goes; all that it names must match, and the first that matches counts."""

    dag: str = Field("", description="only problems in a DAG that this matches (`*` and `?` stand for anything)")
    owner: str = Field("", description="only problems of an owner that this matches")
    deployment: str = Field("", description="only problems of a deployment that this matches")
    tag: str = Field("", description="only problems in a DAG with a tag that this matches")
    cause: str = Field("", description="only problems of a cause that this matches")
    project: Project = Field("", description="the project of their issues, its path or number")
    labels: Labels = Field((), description="labels beside those of `gitlab.labels`")
    assignee: Username = Field("", description="the GitLab user they are assigned to")
    confidential: bool | None = Field(None, description="whether they are confidential; as `gitlab.confidential`")
    open_after: Annotated[Threshold | None, BeforeValidator(often)] = Field(
        None, description="as `gitlab.open_after`, for these"
    )
    open: bool = Field(True, description="false: they get no issue")

    def route(self, name: str) -> Route:
        """Return the rule as the policy takes it."""
        return Route(name, **{field: getattr(self, field) for field in type(self).model_fields})


class GitLabChanges(Section):
    """What a deployment sets for itself; what is left out is as in the section `gitlab`."""

    url: Address = Field("", description="another GitLab for this deployment; it needs a token of its own")
    token: Word = Field(SecretStr(""), description="the token there")
    project: Project = Field("", description="the project of its issues")
    open_after: Annotated[Threshold | None, BeforeValidator(often)] = Field(
        None, description="as `gitlab.open_after`, for this deployment"
    )
    labels: Labels = Field((), description="in place of `gitlab.labels`")
    confidential: bool | None = Field(None, description="in place of `gitlab.confidential`")
    webhook_token: Word = Field(SecretStr(""), description="in place of `gitlab.webhook_token`")
    webhook_signing_token: Word = Field(SecretStr(""), description="in place of `gitlab.webhook_signing_token`")
    ca_file: str = Field("", description="in place of `gitlab.ca_file`")

    @property
    def secrets(self) -> set[str]:
        """What must never be shown."""
        return _secrets(self)

    @model_validator(mode="after")
    def _has_a_token(self) -> Self:
        if self.url and not self.token.get_secret_value():
            raise ValueError("it names a url but no token; another GitLab needs a token of its own")
        return self


class GitLab(Section):
    """The GitLab where problems get issues; off while none of this is set."""

    url: Address = Field(
        "", description="GitLab's address, such as https://gitlab.example.com; nothing is done without"
    )
    token: Word = Field(
        SecretStr(""),
        description="an access token with the scope api, best a project's or group's, with the role Reporter",
    )
    project: Project = Field("", description="the project of the issues, such as group/airflow, or its number")
    open_after: Often = Field(
        Threshold(), description="how many settled final failures open an issue: 1, or such as `5 in 1h`"
    )
    storm_cap: int = Field(
        20, ge=1, le=10_000, description="at most so many new issues a project and hour; then one summary of the rest"
    )
    labels: Labels = Field(("airtriage",), description="labels of every issue; the first is the one it is found by")
    confidential: bool = Field(False, description="open issues that only members see")
    title: TitleTemplate = Field("", description="a template for the title; see [gitlab.md](gitlab.md)")
    body: BodyTemplate = Field("", description="a template for our part of the description; see [gitlab.md](gitlab.md)")
    causes: Names = Field((), description="only these causes get an issue; all by default")
    deployments: Names = Field((), description="only these deployments get issues; all by default")
    webhook_token: Word = Field(SecretStr(""), description="the secret token that GitLab's webhook sends")
    webhook_signing_token: Word = Field(
        SecretStr(""), description="the key with which GitLab signs its webhook; if set, a signature is demanded"
    )
    ca_file: str = Field("", description="a file with the certificate authority that signed GitLab's certificate")
    timeout: Span = Field(timedelta(seconds=20), description="how long one answer of GitLab may take")
    routes: dict[str, GitLabRoute] = Field(
        default_factory=dict, description="where the issues of which problems go, by name, in this order"
    )

    @property
    def is_on(self) -> bool:
        """Say whether problems get issues at all."""
        return bool(self.url)

    @property
    def secrets(self) -> set[str]:
        """What must never be shown."""
        return _secrets(self)

    def over(self, its: GitLabChanges) -> GitLab:
        """Return the section as a deployment has it."""
        changed = {name: getattr(its, name) for name in its.model_fields_set}
        if its.url and its.url != self.url and "ca_file" not in changed:
            changed["ca_file"] = ""  # another server's certificate is another authority's
        return self.model_copy(update={name: value for name, value in changed.items() if value is not None})

    @property
    def rules(self) -> Rules:
        """Return what the policy goes by."""
        return Rules(
            self.url, self.project, self.open_after, self.storm_cap, self.labels, self.confidential, self.causes,
            self.deployments, tuple(one.route(name) for name, one in self.routes.items()),
        )  # fmt: skip

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not {"url", "token", "project", "routes"} & self.model_fields_set:
            return self
        if not self.url:
            raise ValueError("it names no url, such as https://gitlab.example.com")
        if not self.token.get_secret_value():
            raise ValueError("it names no token; make an access token with the scope api, and set token or token_file")
        if not self.labels:
            raise ValueError("labels is empty; one label at least is needed to find the issues again")
        if not timedelta(seconds=1) <= self.timeout <= timedelta(minutes=5):
            raise ValueError("timeout must be between a second and five minutes")
        told = [name for name in ("title", "body") if any(secret in getattr(self, name) for secret in self.secrets)]
        if told:
            raise ValueError(f"{told[0]} holds the token or a secret of the webhook, and would show it in every issue")
        homeless = [name for name, one in self.routes.items() if one.open and not (one.project or self.project)]
        if homeless:
            raise ValueError(f"the route {homeless[0]} names no project, and neither does gitlab.project")
        if not self.project and not self.routes:
            raise ValueError("it names no project, such as group/airflow, and has no routes that do")
        return self


def misfit(its: GitLabChanges, whole: GitLab) -> str:
    """Say why a deployment's part does not make a whole section of its own, `whole` being what comes of it; empty where it does."""
    if not its.model_fields_set:
        return ""
    if not whole.url:
        return "names no url, and neither does gitlab"
    if not whole.project and not any(one.project for one in whole.routes.values() if one.open):
        return "names no project, and neither does gitlab"
    if not whole.labels:
        return "has no labels; one at least is needed to find the issues again"
    return ""


def _secrets(its: GitLab | GitLabChanges) -> set[str]:
    return {one.get_secret_value() for one in (its.token, its.webhook_token, its.webhook_signing_token)} - {""}


def ours(gitlab: GitLab, changes: Mapping[str, GitLabChanges | None]) -> dict[str, GitLab]:
    """Map each deployment to the GitLab of its issues."""
    return {name: gitlab.over(its) if its else gitlab for name, its in changes.items()}
