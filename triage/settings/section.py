"""What every section of the settings shares, and the one kind of value that most have: a span of time."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from triage.settings.values import span

Span = Annotated[timedelta, BeforeValidator(span)]


class Section(BaseModel):
    """What every section shares: a misspelt name is refused, and an error never shows what was given."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
