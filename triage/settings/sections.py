"""The sections of the settings: what can be set in each, its default, and what is refused with which words."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from triage import log_path, owners
from triage.causes import CAUSES
from triage.redact import added
from triage.settings.gitlab import GitLabChanges, Username
from triage.settings.section import Section, Span
from triage.settings.values import address, each_line, header_lines, listed, options, split, template, words
from triage.signature.rules import PATTERNS, Rule, made, pattern

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_OUR_HEADERS = {"accept", "accept-encoding", "connection", "content-length", "content-type", "transfer-encoding"}


class Deployment(Section):
    """One Airflow installation that we watch."""

    url: str = Field(description="where Airflow's page is, with the path prefix if it has one")
    username: str = Field("", description="the account that reads; it logs in at /auth/token")
    password: SecretStr = Field(SecretStr(""), description="its password")
    token: SecretStr = Field(SecretStr(""), description="a ready token instead of username and password")
    token_command: Annotated[tuple[str, ...], BeforeValidator(words)] = Field(
        (),
        repr=False,
        description="a program that prints a token, and its arguments: a list, or one text; no shell runs it",
    )
    headers: Annotated[dict[str, SecretStr], BeforeValidator(header_lines)] = Field(
        default_factory=dict, description="more headers for every request, by name; as a text, `Name: value` one a line"
    )
    scope: str = Field("", description="deployments of one scope share problems; its own name by default")
    lookback: Span = Field(timedelta(days=7), description="how far back the first pass reaches")
    poll: Span = Field(timedelta(seconds=30), description="how often to look for failures")
    ca_file: str = Field("", description="a file with the certificate authority that signed Airflow's certificate")
    proxy: SecretStr = Field(
        SecretStr(""),
        description="a proxy to reach it through, http://USER:PASSWORD@HOST:PORT; by default what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say",
    )
    timeout: Span = Field(timedelta(seconds=30), description="how long one answer may take; a log six times as long")

    log_base: Annotated[str, AfterValidator(log_path.base)] = Field(
        "",
        description="where Airflow keeps its logs, to read them straight from there: s3://bucket/prefix, gs://, abfs://, file:///…",
    )
    log_template: Annotated[str, AfterValidator(template)] = Field(
        log_path.DEFAULT, description="the path of a log below log_base: Airflow's [logging] log_filename_template"
    )
    log_options: Annotated[dict[str, Any], BeforeValidator(options)] = Field(
        default_factory=dict,
        repr=False,
        description="for the storage's driver: endpoint_url, region, anon, key, secret…; NAME_file reads one from a file",
    )

    gitlab: GitLabChanges | None = Field(None, description="what of the section gitlab is different for its problems")

    repository: str = Field(
        "",
        description="the address of its DAGs' Git repository, where Airflow does not tell it, such as https://gitlab.example.com/data/dags",
    )
    checkout: str = Field(
        "",
        description="the folder in which Airflow has that repository, such as /opt/airflow/dags/repo; not for Airflow's own Git bundles",
    )

    @field_validator("repository")
    @classmethod
    def _is_repository(cls, value: str) -> str:
        return address(value, "gitlab.token").removesuffix(".git") if value else value

    @field_validator("checkout")
    @classmethod
    def _is_folder(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError("it is not the whole path of a folder, which begins with /")
        return value.rstrip("/")

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        return address(value, "username and password")

    @field_validator("poll", "timeout", "lookback")
    @classmethod
    def _is_positive(cls, value: timedelta) -> timedelta:
        if value <= timedelta(0):
            raise ValueError("it must be longer than nothing")
        return value

    @field_validator("poll")
    @classmethod
    def _is_polite(cls, value: timedelta) -> timedelta:
        if not timedelta(seconds=1) <= value <= timedelta(days=1):
            raise ValueError("it must be between a second and a day")
        return value

    @field_validator("timeout")
    @classmethod
    def _is_patient(cls, value: timedelta) -> timedelta:
        if value > timedelta(hours=1):  # a socket's own clock overflows, and a pass would wait as long for one answer
            raise ValueError("it must not be longer than an hour")
        return value

    @field_validator("proxy")
    @classmethod
    def _is_proxy(cls, value: SecretStr) -> SecretStr:
        parts = split(value.get_secret_value())
        if value.get_secret_value() and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("it is not an http:// or https:// address")
        return value

    @field_validator("token")
    @classmethod
    def _is_token(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[\x21-\x7e]*", value.get_secret_value()):
            raise ValueError("it is not one word of plain ASCII; give the token alone, without 'Bearer'")
        return value

    @field_validator("token_command")
    @classmethod
    def _is_command(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value and not value[0].strip():
            raise ValueError("its first word, the program, is empty")
        if any("\0" in word for word in value):
            raise ValueError("it holds a NUL")
        return value

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        seen: set[str] = set()
        for number, (name, text) in enumerate(value.items(), 1):
            if not _HEADER_NAME.fullmatch(name):
                # Not shown: who mixes up name and value has a secret there.
                raise ValueError(f"the name of header {number} holds what no name may: use letters, digits and -")
            if not _HEADER_VALUE.fullmatch(text.get_secret_value()):
                raise ValueError(f"the value of {name} holds a line break or something else that a header may not")
            if name.lower() in _OUR_HEADERS:
                raise ValueError(f"{name} is airtriage's own to set")
            if name.lower() in seen:
                raise ValueError(f"{name} is there twice")
            seen.add(name.lower())
        return value

    @model_validator(mode="after")
    def _is_one_login(self) -> Self:
        ways = {
            "username": self.username,
            "token": self.token.get_secret_value(),
            "token_command": self.token_command,
            "headers.Authorization": any(name.lower() == "authorization" for name in self.headers),
        }
        given = [name for name, value in ways.items() if value]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are ways to log in that exclude each other; keep one of them")
        if bool(self.username) != bool(self.password.get_secret_value()):
            here, missing = ("username", "password") if self.username else ("password", "username")
            raise ValueError(f"it has a {here} but no {missing}")
        return self


class Web(Section):
    """The page, the API and their door."""

    host: str = Field("127.0.0.1", description="the address to listen on; loopback until told otherwise")
    port: int = Field(8501, ge=1, le=65535, description="the port to listen on")
    api_port: int = Field(
        8502,
        ge=1,
        le=65535,
        description="the port of `airtriage web --only api`, the API and the webhooks by themselves",
    )
    base_path: str = Field("", description="the path prefix a proxy serves us under, such as /triage")
    public_url: str = Field(
        "",
        description="where people reach the page, e.g. https://triage.example.com/, for links to it in GitLab issues",
    )
    api_url: str = Field(
        "",
        description="where the API and the webhooks are reached, where that is not below public_url, e.g. https://triage-api.example.com/",
    )
    user_header: str = Field(
        "", description="a header set by a trusted proxy that names the person, e.g. X-Forwarded-User"
    )
    allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        (), description="other names the page is reached by, behind a proxy"
    )

    @field_validator("public_url", "api_url")
    @classmethod
    def _is_public(cls, value: str) -> str:
        return address(value, "nothing; people log in at the proxy") if value else value

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"


def _checked(value: tuple[str, ...], check: Callable[[str], re.Pattern[str]]) -> tuple[str, ...]:
    for text in value:
        check(text)
    return value


Patterns = Annotated[tuple[str, ...], BeforeValidator(each_line)]


class Redaction(Section):
    """What is masked beside the rules that come with airtriage, and what is not."""

    patterns: Patterns = Field(
        (), description="more regular expressions of secrets; a group in one narrows what is masked"
    )
    allow: Patterns = Field(
        (), description="regular expressions of what is never masked, each matching the whole of it"
    )
    emails: bool = Field(False, description="mask e-mail addresses too")

    @field_validator("patterns")
    @classmethod
    def _are_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _checked(value, added.pattern)

    @field_validator("allow")
    @classmethod
    def _are_exceptions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _checked(value, added.exception)


class Grouping(Section):
    """One rule of your own on what counts as the cause, and what belongs together."""

    cause: str = Field("", description="a line that this regular expression finds something in is the cause")
    ignore: str = Field("", description="lines and exceptions that never count")
    ignore_frames: str = Field("", description="stack frames, written `file:function`, that are never the place")
    group: str = Field("", description="failures whose evidence or title it matches belong together, by its groups")
    separate: str = Field("", description="failures are kept apart by what its groups say")
    task: str = Field("", description="only for tasks whose `dag_id.task_id` it matches")
    title: str = Field("", max_length=160, description="the title, with `cause` or `group`")
    kind: str = Field("", description="the cause, a name from [signatures.md](signatures.md#causes)")

    @field_validator(*PATTERNS)
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        if value:
            pattern(value)
        return value

    @model_validator(mode="after")
    def _is_rule(self) -> Self:
        self.rule("")
        return self

    def rule(self, name: str) -> Rule:
        """Return the rule as signatures take it."""
        return made(name, self.model_dump())


class Owning(Section):
    """One rule on who owns a failure; all that it names must match, and the first that matches counts."""

    owner: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        description="who owns it: a name, or a team as @team; several as a list"
    )
    deployment: str = Field(
        "", description="only failures of a deployment that this matches (`*` and `?` stand for anything)"
    )
    dag: str = Field("", description="only failures in a DAG that this matches")
    task: str = Field("", description="only failures in a task whose `task_id` or `dag_id.task_id` this matches")
    tag: str = Field("", description="only failures in a DAG with a tag that this matches")
    cause: str = Field(
        "", description="only failures of a cause that this matches, from [signatures.md](signatures.md#causes)"
    )
    gitlab: Annotated[tuple[Username, ...], BeforeValidator(listed)] = Field(
        (), description="the GitLab user that their issues are assigned to; several as a list"
    )

    @field_validator("owner")
    @classmethod
    def _is_somebody(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value or ("",):
            owners.checked(name)
        return value

    @field_validator("cause")
    @classmethod
    def _is_cause(cls, value: str) -> str:
        if value and not any(fnmatchcase(name, value.casefold()) for name in CAUSES):
            raise ValueError(f"{value!r} matches no cause")
        return value

    def rule(self, name: str) -> owners.Rule:
        """Return the rule as ownership takes it."""
        return owners.Rule(name, **self.model_dump())
