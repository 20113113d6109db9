"""Settings: the file, the environment, the defaults, and one clear sentence for whatever is wrong.

The only reader of the environment and of `airtriage.toml`. An environment variable `AIRTRIAGE_A__B` overrides `[a] b`.
Secrets may come from a file (`password_file`) and never show in a repr or an error. Connects to nothing.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from triage import log_path
from triage.editions import SIGNERS, Signers
from triage.errors import SettingsError
from triage.redact import Redactor, added
from triage.signature.rules import PATTERNS, Rule, Rules, made, pattern

PREFIX = "AIRTRIAGE_"
FILE_NAME = "airtriage.toml"
_NOT_SETTINGS = {"CONFIG"}
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(s|m|h|d|w)?\Z")
_SECRET = re.compile(r"key|secret|token|password|credential|connection_string", re.I)
_LONGEST = timedelta(days=36_500)
_FROM_FILES = ("password", "token", "headers", "proxy")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_OUR_HEADERS = {"accept", "accept-encoding", "connection", "content-length", "content-type", "transfer-encoding"}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def span(value: object) -> timedelta:
    """Read a time span: `90s`, `5m`, `2h`, `7d`, `1w`, or a number of seconds. ValueError says what is accepted."""
    if isinstance(value, timedelta):
        return value
    match = _SPAN.match(str(value).strip())
    if not match:
        raise ValueError(f"{value!r} is not a time span such as 30s, 5m, 2h, 7d")
    seconds = float(match[1]) * _UNITS[match[2] or "s"]
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"{value!r} is longer than {_LONGEST.days // 365} years")
    return timedelta(seconds=seconds)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 -- reading it is the check
    except ValueError as exc:
        raise ValueError("its host or port cannot be read") from exc
    return parts


def _names(value: object) -> object:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _spans(value: object) -> object:
    return [span(part) for part in value.split(",")] if isinstance(value, str) else value


def _words(value: object) -> object:
    """Split a command as a shell would; the words of a list are taken as they are."""
    if isinstance(value, str):
        try:
            return shlex.split(value)
        except ValueError as exc:
            raise ValueError(f"it cannot be split into words: {str(exc).lower()}") from None
    return value


def _lines(value: object) -> object:
    """Read headers written as in a request: `Name: value`, one a line."""
    if not isinstance(value, str):
        return value
    headers: dict[str, str] = {}
    for number, line in enumerate(filter(None, map(str.strip, value.split("\n"))), 1):
        name, colon, text = line.partition(":")
        if not colon:
            raise ValueError(f"line {number} is not written 'Name: value'")
        if name.strip() in headers:
            raise ValueError(f"line {number} names a header for the second time")
        headers[name.strip()] = text.strip()
    return headers


def _each_line(value: object) -> object:
    return tuple(filter(None, map(str.strip, value.split("\n")))) if isinstance(value, str) else value


def _options(value: object) -> object:
    """Hide what is a secret by its name; `true` and `false` in an environment variable are meant as such."""
    if not isinstance(value, dict):
        return value
    options: dict[str, object] = {}
    for name, one in value.items():
        if isinstance(one, str):
            said = {"true": True, "false": False}.get(one.lower(), one)
            options[name] = SecretStr(one) if said is one and _SECRET.search(name) else said
        else:
            options[name] = _options(one)
    return options


def _template(value: str) -> str:
    log_path.parse(value)
    return value


Span = Annotated[timedelta, BeforeValidator(span)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Deployment(_Section):
    """One Airflow installation that we watch."""

    url: str = Field(description="where Airflow's page is, with the path prefix if it has one")
    username: str = Field("", description="the account that reads; it logs in at /auth/token")
    password: SecretStr = Field(SecretStr(""), description="its password")
    token: SecretStr = Field(SecretStr(""), description="a ready token instead of username and password")
    token_command: Annotated[tuple[str, ...], BeforeValidator(_words)] = Field(
        (),
        repr=False,
        description="a program that prints a token, and its arguments: a list, or one text; no shell runs it",
    )
    headers: Annotated[dict[str, SecretStr], BeforeValidator(_lines)] = Field(
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
    log_template: Annotated[str, AfterValidator(_template)] = Field(
        log_path.DEFAULT, description="the path of a log below log_base: Airflow's [logging] log_filename_template"
    )
    log_options: Annotated[dict[str, Any], BeforeValidator(_options)] = Field(
        default_factory=dict,
        repr=False,
        description="for the storage's driver: endpoint_url, region, anon, key, secret…; NAME_file reads one from a file",
    )

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        parts = _split(value)  # never shown in an error: an address may hold a password
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it is not an http:// or https:// address")
        if parts.username or parts.password:
            raise ValueError("it holds an account, which belongs into username and password")
        return value.rstrip("/")

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
        parts = _split(value.get_secret_value())
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


class Web(_Section):
    """The page, the API and their door."""

    host: str = Field("127.0.0.1", description="the address to listen on; loopback until told otherwise")
    port: int = Field(8501, ge=1, le=65535, description="the port to listen on")
    base_path: str = Field("", description="the path prefix a proxy serves us under, such as /triage")
    user_header: str = Field(
        "", description="a header set by a trusted proxy that names the person, e.g. X-Forwarded-User"
    )
    allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        (), description="other names the page is reached by, behind a proxy"
    )

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"


def _checked(value: tuple[str, ...], check: Callable[[str], re.Pattern[str]]) -> tuple[str, ...]:
    for text in value:
        check(text)
    return value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_each_line)]


class Redaction(_Section):
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


class Grouping(_Section):
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


class Settings(_Section):
    """Everything that can be set; every field has a default or an error that names it."""

    data_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("airtriage")),
        description="where the embedded store and broker live",
    )
    store: str = Field("", description="sqlite:///path; by default airtriage.db in data_dir")
    broker: str = Field("", description="redis://… or filesystem://path; by default a folder in data_dir")
    log_waits: Annotated[tuple[Span, ...], BeforeValidator(_spans)] = Field(
        tuple(timedelta(seconds=s) for s in (30, 120, 600, 3600)),
        description="when to ask again for a log that is not whole, counted from our first look",
    )
    deployments: dict[str, Deployment] = Field(default_factory=dict, description="the Airflow deployments, by name")
    web: Web = Field(default_factory=lambda: Web.model_validate({}), description="the page")
    redact: Redaction = Field(default_factory=lambda: Redaction.model_validate({}), description="what is masked")
    grouping: dict[str, Grouping] = Field(default_factory=dict, description="your own rules of grouping, by name")

    @field_validator("data_dir", mode="before")
    @classmethod
    def _absolute(cls, value: str | Path) -> Path:
        if not str(value).strip():
            raise ValueError("it is empty")
        try:
            return Path(value).expanduser().absolute()
        except RuntimeError as exc:
            raise ValueError(f"{str(value)!r} names a home folder that is not there") from exc

    @field_validator("grouping", mode="before")
    @classmethod
    def _are_tables(cls, value: object) -> object:
        for name, its in value.items() if isinstance(value, dict) else ():
            if not isinstance(its, dict | Grouping):
                raise ValueError(f"{name} is no table of settings; give the rule a name, as in [grouping.NAME]")
        return value

    @field_validator("deployments", "grouping")
    @classmethod
    def _names(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for name in value:
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name):
                what = "deployment" if info.field_name == "deployments" else "rule"
                raise ValueError(f"{name!r} is no good name for a {what}: use a-z, 0-9, - and _")
        return value

    @field_validator("store")
    @classmethod
    def _is_store(cls, value: str) -> str:
        if value and not re.fullmatch(r"sqlite:///.+", value):
            raise ValueError("it is not a URL such as sqlite:///path/to/airtriage.db")
        return value

    @field_validator("broker")
    @classmethod
    def _is_broker(cls, value: str) -> str:
        parts = _split(value)
        is_folder = parts.scheme == "filesystem" and not parts.netloc and parts.path.startswith("/")
        is_redis = parts.scheme in ("redis", "rediss") and parts.hostname
        if value and not is_folder and not is_redis:
            raise ValueError("it is not a URL such as redis://host:6379/0 or filesystem:///path")
        return value

    @property
    def store_url(self) -> str:
        """The store to open: `store`, or the embedded one in `data_dir`."""
        return self.store or f"sqlite:///{self.data_dir / 'airtriage.db'}"

    @property
    def broker_url(self) -> str:
        """The broker to use: `broker`, or the embedded one in `data_dir`."""
        return self.broker or f"filesystem://{self.data_dir / 'broker'}"

    @property
    def scopes(self) -> dict[str, str]:
        """Map each deployment to its scope."""
        return {name: its.scope or name for name, its in self.deployments.items()}

    @cached_property
    def redactor(self) -> Redactor:
        """What masks secrets, by the section `redact`; the secrets among these settings are masked wherever they stand."""
        return Redactor(
            known=tuple(sorted(self._secrets())),
            patterns=tuple(map(added.pattern, self.redact.patterns)),
            allow=tuple(map(added.exception, self.redact.allow)),
            emails=self.redact.emails,
        )

    @cached_property
    def rules(self) -> Rules:
        """People's own rules of grouping, by the section `grouping`, in its order."""
        return Rules(tuple(one.rule(name) for name, one in self.grouping.items()))

    @property
    def signers(self) -> Signers:
        """The editions of signing by these rules, the one in force first."""
        return SIGNERS.under(self.rules)

    def _secrets(self) -> set[str]:
        found = _password(self.broker_url)
        for its in self.deployments.values():
            found |= {its.password.get_secret_value(), its.token.get_secret_value()}
            for header in its.headers.values():
                found |= {header.get_secret_value(), header.get_secret_value().rpartition(" ")[2]}
            found |= _password(its.proxy.get_secret_value()) | set(_hidden(its.log_options))
        return found - {""}


def load(config: str | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings file and the environment over it; SettingsError names the field and the fix.

    The file is `config`, else AIRTRIAGE_CONFIG, else `airtriage.toml` in the folder you stand in, else in the user's
    config folder; none is fine.
    """
    environ = os.environ if environ is None else environ
    path = _find(config or environ.get(PREFIX + "CONFIG"))
    values = _secrets_from_files(_read(path)) if path else {}
    for name, text in sorted(environ.items()):
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in _NOT_SETTINGS:
            _place(values, name.removeprefix(PREFIX).lower().split("__"), text, name)
    values = _secrets_from_files(values)
    try:
        return Settings.model_validate(values)
    except ValidationError as exc:
        raise _sentence(exc, path) from None


def _find(named: str | None) -> Path | None:
    if named:
        if not Path(named).is_file():
            raise SettingsError(f"The settings file {named} does not exist.", "Check --config and AIRTRIAGE_CONFIG.")
        return Path(named)
    for folder in (Path.cwd(), Path(platformdirs.user_config_dir("airtriage"))):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(f"{path} is not valid TOML: {exc}.", "Correct that line.") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path} cannot be read: {exc}.", "Save it as UTF-8 text you may read.") from exc


def _place(values: dict[str, Any], keys: list[str], text: str, name: str) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise SettingsError(f"{name} sets a part of {key!r}, which is a plain value.", "Check its name.")
    values[keys[-1]] = text


def _secrets_from_files(values: dict[str, Any]) -> dict[str, Any]:
    """Replace every `NAME_file` beside a secret field, and in the options of a storage, by the file's content."""
    deployments = values.get("deployments")
    for name, its in deployments.items() if isinstance(deployments, dict) else ():
        if not isinstance(its, dict):
            continue
        for secret in _FROM_FILES:
            _from_file(its, secret, f"deployments.{name}")
        options: Any = its.get("log_options")
        for option in list(options) if isinstance(options, dict) else ():
            if option.endswith("_file"):
                _from_file(options, option.removesuffix("_file"), f"deployments.{name}.log_options")
    return values


def _from_file(values: dict[str, Any], name: str, where: str) -> None:
    if path := values.pop(f"{name}_file", None):
        try:
            values[name] = Path(str(path)).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise SettingsError(
                f"{where}.{name}_file = {str(path)!r} cannot be read: {exc.__class__.__name__}.",
                "Check the path and its rights.",
            ) from exc


def _sentence(exc: ValidationError, path: Path | None) -> SettingsError:
    # A misspelt name first: what it should have set is missing only because of it.
    error = min(exc.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in error["loc"])
    source = f" ({path} or its AIRTRIAGE_ variable)" if path else ""
    if error["type"] == "extra_forbidden":
        known = _fields(error["loc"][:-1])
        close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known are: {', '.join(sorted(known))}."
        return SettingsError(f"There is no setting {where}{source}.", hint)
    if error["type"] == "missing":
        env = PREFIX + "__".join(str(part).upper() for part in error["loc"])
        return SettingsError(f"The setting {where} is missing{source}.", f"Add it to {FILE_NAME} or set {env}.")
    message = error["msg"].removeprefix("Value error, ")
    return SettingsError(f"The setting {where} is wrong{source}: {message}.", "Correct it.")


def _fields(loc: tuple[int | str, ...]) -> list[str]:
    if loc and loc[0] == "deployments":
        return [*Deployment.model_fields, *(f"{name}_file" for name in _FROM_FILES)]
    if loc and loc[0] == "grouping":
        return list(Grouping.model_fields)
    sections: dict[int | str, type[BaseModel]] = {"web": Web, "redact": Redaction}
    return list(sections.get(loc[0], Settings).model_fields if loc else Settings.model_fields)


def revealed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a storage with their secrets in the open, for its driver."""
    return {name: _plain(one) for name, one in options.items()}


def _plain(one: object) -> object:
    if isinstance(one, SecretStr):
        return one.get_secret_value()
    return revealed(one) if isinstance(one, dict) else one


def _password(url: str) -> set[str]:
    """Return the password in an address, as it stands there and as it is meant."""
    told = _split(url).password or ""
    return {told, unquote(told)}


def _hidden(options: Mapping[str, Any]) -> Iterator[str]:
    for one in options.values():
        if isinstance(one, SecretStr):
            yield one.get_secret_value()
        elif isinstance(one, dict):
            yield from _hidden(one)


def environment(*, inherit: bool) -> dict[str, str]:
    """Return the environment for a child process, with our own variables or without them."""
    return {name: value for name, value in os.environ.items() if inherit or not name.startswith(PREFIX)}
