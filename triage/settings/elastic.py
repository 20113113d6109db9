"""The section `elastic` of the settings: how an Elasticsearch that is the store is logged in to, and how its indices are made."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from triage.settings.section import Section
from triage.store.access import Access


class Elastic(Section):
    """How an Elasticsearch is logged in to; means nothing to a store that is a file."""

    api_key: SecretStr = Field(
        SecretStr(""), description="an API key of Elasticsearch, as it shows it encoded; or api_key_file"
    )
    username: str = Field("", description="the account to log in with, in place of an API key")
    password: SecretStr = Field(SecretStr(""), description="its password; or password_file")
    ca_file: str = Field(
        "",
        description="a PEM file with the authority that signed the servers' certificates, where that is a private one",
    )
    shards: int = Field(
        3, ge=1, le=1024, description="the shards of the index of failed tries; counts when airtriage makes it"
    )
    replicas: int | None = Field(
        None,
        ge=0,
        le=10,
        description="the copies of every shard; counts when airtriage makes an index. By default one where there is a second node",
    )

    @field_validator("api_key")
    @classmethod
    def _is_key(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value()
        if any(not "!" <= character <= "~" for character in key):
            raise ValueError("it is no API key: those are one word of plain ASCII, as Elasticsearch shows it encoded")
        return value

    @field_validator("username")
    @classmethod
    def _has_no_colon(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("it holds a colon, which no name may; the password is a setting of its own")
        return value

    @field_validator("ca_file")
    @classmethod
    def _is_file(cls, value: str) -> str:
        if value and not Path(value).expanduser().is_file():
            raise ValueError(f"there is no file {value!r}")
        return str(Path(value).expanduser()) if value else value

    @model_validator(mode="after")
    def _logs_in_one_way(self) -> Self:
        password = self.password.get_secret_value()
        if self.api_key.get_secret_value() and (self.username or password):
            raise ValueError("api_key and username are ways to log in that exclude each other; keep one of them")
        if bool(self.username) != bool(password):
            here, missing = ("username", "password") if self.username else ("password", "username")
            raise ValueError(f"it has a {here} but no {missing}")
        return self

    @property
    def secrets(self) -> set[str]:
        """Whatever must not show anywhere: the key, the secret half of what it encodes, the password."""
        key = self.api_key.get_secret_value()
        return {key, (_opened(key) or "").rpartition(":")[2], self.password.get_secret_value()} - {""}

    def access(self, mask: Callable[[str], str]) -> Access:
        """Return what an adapter logs in with; `mask` is what a reason that is kept goes through."""
        return Access(
            api_key=self.api_key.get_secret_value(),
            user=self.username,
            password=self.password.get_secret_value(),
            ca_file=self.ca_file,
            shards=self.shards,
            replicas=self.replicas,
            mask=mask,
        )


def _opened(key: str) -> str | None:
    """What an encoded API key says, `id:secret`; None where it is none."""
    try:
        text = base64.b64decode(key, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    return text if ":" in text else None
