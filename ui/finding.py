"""What a check of `airtriage doctor` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing checked: its name, whether it is well, what was found, and the fix where it is not, a setting's or not."""

    name: str
    ok: bool
    text: str
    fix: str = ""
    is_setting: bool = False
