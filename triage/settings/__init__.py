"""Settings: the file, the environment, the defaults, and one clear sentence for whatever is wrong.

The only reader of the environment and of `airtriage.toml`. An environment variable `AIRTRIAGE_A__B` overrides `[a] b`.
Secrets may come from a file (`password_file`) and never show in a repr or an error. Connects to nothing.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import platformdirs
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from triage.editions import SIGNERS, Signers
from triage.errors import SettingsError
from triage.owners import Ownership, Repository
from triage.redact import Redactor, added
from triage.settings.elastic import Elastic
from triage.settings.gitlab import GitLab, GitLabChanges, GitLabRoute, misfit, ours
from triage.settings.section import Section, Span
from triage.settings.sections import Deployment, Grouping, Owning, Redaction, Web
from triage.settings.values import broker, hidden, password_in, spans, split
from triage.signature.rules import Rules
from triage.store.access import Access, nodes

PREFIX = "AIRTRIAGE_"
FILE_NAME = "airtriage.toml"
_NOT_SETTINGS = {"CONFIG"}
_OWN_FROM_FILES = ("store", "broker", "broker_password")  # the addresses may hold a password
_FROM_FILES = ("password", "token", "headers", "proxy")
_OF_ELASTIC_FROM_FILES = ("api_key", "password")
_OF_GITLAB_FROM_FILES = ("token", "webhook_token", "webhook_signing_token")


class Settings(Section):
    """Everything that can be set; every field has a default or an error that names it."""

    data_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("airtriage")),
        description="where the embedded store and broker live",
    )
    store: str = Field(
        "",
        description="sqlite:///path, or an Elasticsearch, https://host:9200[,host2:9200][/prefix]; by default airtriage.db in data_dir",
    )
    elastic: Elastic = Field(
        default_factory=lambda: Elastic.model_validate({}), description="the Elasticsearch that is the store"
    )
    broker: str = Field(
        "",
        description="redis://host:6379/0, rediss://… with TLS, or filesystem://path; by default a folder in data_dir",
    )
    broker_password: SecretStr = Field(SecretStr(""), description="Redis' password, where `broker` does not hold it")
    broker_ca_file: str = Field("", description="a file with the certificate authority that signed Redis' certificate")
    log_waits: Annotated[tuple[Span, ...], BeforeValidator(spans)] = Field(
        tuple(timedelta(seconds=s) for s in (30, 120, 600, 3600)),
        description="when to ask again for a log that is not whole, counted from our first look",
    )
    retention: Span = Field(
        timedelta(days=180),
        description="how long failed tries and their logs are kept; problems, their history and their counts stay for good",
    )
    deployments: dict[str, Deployment] = Field(default_factory=dict, description="the Airflow deployments, by name")
    gitlab: GitLab = Field(
        default_factory=lambda: GitLab.model_validate({}), description="the GitLab that mirrors problems"
    )
    web: Web = Field(default_factory=lambda: Web.model_validate({}), description="the page")
    redact: Redaction = Field(default_factory=lambda: Redaction.model_validate({}), description="what is masked")
    grouping: dict[str, Grouping] = Field(default_factory=dict, description="your own rules of grouping, by name")
    owners: dict[str, Owning] = Field(default_factory=dict, description="your rules on who owns a failure, by name")

    @field_validator("data_dir", mode="before")
    @classmethod
    def _absolute(cls, value: str | Path) -> Path:
        if not str(value).strip():
            raise ValueError("it is empty")
        try:
            return Path(value).expanduser().absolute()
        except RuntimeError as exc:
            raise ValueError(f"{str(value)!r} names a home folder that is not there") from exc

    @field_validator("retention")
    @classmethod
    def _is_a_day(cls, value: timedelta) -> timedelta:
        if value < timedelta(days=1):
            raise ValueError("it must be a day at least")
        return value

    @field_validator("grouping", "owners", mode="before")
    @classmethod
    def _are_tables(cls, value: object, info: ValidationInfo) -> object:
        for name, its in value.items() if isinstance(value, dict) else ():
            if not isinstance(its, dict | Grouping | Owning):
                raise ValueError(
                    f"{name} is no table of settings; give the rule a name, as in [{info.field_name}.NAME]"
                )
        return value

    @field_validator("deployments", "grouping", "owners")
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
        if value.startswith(("http://", "https://")):
            nodes(value)
        elif value and not re.fullmatch(r"sqlite:///.+", value):
            raise ValueError("it is not a URL such as sqlite:///path/to/airtriage.db or https://host:9200")
        return value

    @field_validator("broker")
    @classmethod
    def _is_broker(cls, value: str) -> str:
        return broker(value) if value else value

    @model_validator(mode="after")
    def _has_whole_gitlabs(self) -> Self:
        for name, one in self.deployments.items():
            if one.gitlab and (why := misfit(one.gitlab, self.gitlab.over(one.gitlab))):
                raise ValueError(f"deployments.{name}.gitlab {why}")
        return self

    @model_validator(mode="after")
    def _is_one_broker(self) -> Self:
        is_redis = self.broker.startswith("redis")
        for name in ("broker_password", "broker_ca_file"):
            if name in self.model_fields_set and getattr(self, name) and not is_redis:
                raise ValueError(f"{name} is set, but broker is no Redis: set broker to redis://host:6379/0")
        if self.broker_password.get_secret_value() and split(self.broker).password:
            raise ValueError("broker holds a password and broker_password is set too; keep one of them")
        if self.broker_ca_file and not self.broker.startswith("rediss:"):
            raise ValueError(
                "broker_ca_file is set, but broker begins with redis://, which is without TLS: use rediss://"
            )
        return self

    @property
    def store_url(self) -> str:
        """The store to open: `store`, or the embedded one in `data_dir`."""
        return self.store or f"sqlite:///{self.data_dir / 'airtriage.db'}"

    @property
    def store_access(self) -> Access:
        """How a store that is a server is logged in to."""
        return self.elastic.access(self.redactor.text)

    @property
    def broker_url(self) -> str:
        """The broker to use: `broker`, or the embedded one in `data_dir`."""
        return self.broker or f"filesystem://{self.data_dir / 'broker'}"

    @property
    def scopes(self) -> dict[str, str]:
        """Map each deployment to its scope."""
        return {name: its.scope or name for name, its in self.deployments.items()}

    @cached_property
    def gitlabs(self) -> dict[str, GitLab]:
        """Map each deployment to the GitLab where its problems get issues; empty while that is off."""
        its = ours(self.gitlab, {name: one.gitlab for name, one in self.deployments.items()})
        return {name: gitlab for name, gitlab in its.items() if gitlab.is_on}

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

    @cached_property
    def ownership(self) -> Ownership:
        """What tells who owns a problem: the section `owners` in its order, and where the deployments' DAGs lie."""
        return Ownership(
            tuple(one.rule(name) for name, one in self.owners.items()),
            {name: Repository(its.repository, its.checkout) for name, its in self.deployments.items()},
        )

    @property
    def signers(self) -> Signers:
        """The editions of signing by these rules, the one in force first."""
        return SIGNERS.under(self.rules)

    def _secrets(self) -> set[str]:
        found = password_in(self.broker_url) | self.gitlab.secrets | self.elastic.secrets
        found |= {self.broker_password.get_secret_value()}
        for its in self.deployments.values():
            found |= {its.password.get_secret_value(), its.token.get_secret_value()}
            for header in its.headers.values():
                found |= {header.get_secret_value(), header.get_secret_value().rpartition(" ")[2]}
            found |= its.gitlab.secrets if its.gitlab else set()
            found |= password_in(its.proxy.get_secret_value()) | set(hidden(its.log_options))
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
    gitlab: Any = values.get("gitlab")
    elastic: Any = values.get("elastic")
    deployments = values.get("deployments")
    for name in _OWN_FROM_FILES:
        _from_file(values, name, "")
    for secret in _OF_GITLAB_FROM_FILES if isinstance(gitlab, dict) else ():
        _from_file(gitlab, secret, "gitlab")
    for secret in _OF_ELASTIC_FROM_FILES if isinstance(elastic, dict) else ():
        _from_file(elastic, secret, "elastic")
    for name, its in deployments.items() if isinstance(deployments, dict) else ():
        if not isinstance(its, dict):
            continue
        for secret in _FROM_FILES:
            _from_file(its, secret, f"deployments.{name}")
        for secret in _OF_GITLAB_FROM_FILES if isinstance(its.get("gitlab"), dict) else ():
            _from_file(its["gitlab"], secret, f"deployments.{name}.gitlab")
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
            setting = f"{where}.{name}_file".lstrip(".")
            raise SettingsError(
                f"{setting} = {str(path)!r} cannot be read: {exc.__class__.__name__}.",
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
    if not where:
        return SettingsError(f"The settings do not fit together{source}: {message}.")
    return SettingsError(f"The setting {where} is wrong{source}: {message}.", "Correct it.")


def _fields(loc: tuple[int | str, ...]) -> list[str]:
    if loc and loc[0] == "deployments" and "gitlab" in loc[2:3]:
        return [*GitLabChanges.model_fields, *(f"{name}_file" for name in _OF_GITLAB_FROM_FILES)]
    if loc and loc[0] == "gitlab" and "routes" in loc[1:2]:
        return list(GitLabRoute.model_fields)
    if loc and loc[0] == "deployments":
        return [*Deployment.model_fields, *(f"{name}_file" for name in _FROM_FILES)]
    if loc and loc[0] == "grouping":
        return list(Grouping.model_fields)
    if loc and loc[0] == "owners":
        return list(Owning.model_fields)
    if loc and loc[0] == "gitlab":
        return [*GitLab.model_fields, *(f"{name}_file" for name in _OF_GITLAB_FROM_FILES)]
    if loc and loc[0] == "elastic":
        return [*Elastic.model_fields, *(f"{name}_file" for name in _OF_ELASTIC_FROM_FILES)]
    sections: dict[int | str, type[BaseModel]] = {"web": Web, "redact": Redaction}
    if loc:
        return list(sections.get(loc[0], Settings).model_fields)
    return [*Settings.model_fields, *(f"{name}_file" for name in _OWN_FROM_FILES)]


def environment(*, inherit: bool) -> dict[str, str]:
    """Return the environment for a child process, with our own variables or without them."""
    return {name: value for name, value in os.environ.items() if inherit or not name.startswith(PREFIX)}
