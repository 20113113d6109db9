"""Where logs lie: the base of a storage, and below it the path of a try by Airflow's `log_filename_template`.

Owns the placeholders, the one condition Airflow's own template uses, and the rule that a path never leaves the base.
Pure: reads nothing. Jinja itself would let a settings file run code, so anything else in braces is refused at load.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from triage.model import TaskTry

# Airflow's own since 2.3 (airflow/config_templates, [logging] log_filename_template).
DEFAULT = (
    "dag_id={{ ti.dag_id }}/run_id={{ ti.run_id }}/task_id={{ ti.task_id }}/"
    "{% if ti.map_index >= 0 %}map_index={{ ti.map_index }}/{% endif %}attempt={{ try_number }}.log"
)
# In airflow.cfg percent signs are doubled.
_MAPPED = re.compile(r"\{%%?-?\s*if\s+(?:ti\.)?map_index\s*>=\s*0\s*-?%%?\}(.*?)\{%%?-?\s*endif\s*-?%%?\}", re.S)
_FIELD = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}|\{([^{}%]*)\}")
_DEFAULTED = re.compile(r"\s*\|\s*default\([^()]*\)$")
# A run's own date, where Airflow made the run's id of it.
_RUN_DATE = re.compile(
    r"(?:scheduled|manual|backfill|dataset_triggered|asset_triggered)__(\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d)\Z"
)


def _date(key: TaskTry) -> str | None:
    found = _RUN_DATE.match(key.run_id)
    return found[1] if found else None


FIELDS: dict[str, Callable[[TaskTry], str | None]] = {
    "dag_id": lambda key: key.dag_id,
    "run_id": lambda key: key.run_id,
    "task_id": lambda key: key.task_id,
    "map_index": lambda key: str(key.map_index),
    "try_number": lambda key: str(key.try_number),
    "ts": _date,
}
# How a base begins, and the kind of storage that is.
STORAGES = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "abfs": "abfs",
    "abfss": "abfs",
    "az": "abfs",
    "file": "file",
}
_ALIASES = {"execution_date": "ts", "logical_date": "ts", "attempt": "try_number"}
# One of each must be there, or two tries would share one path.
_NEEDED = (("dag_id",), ("task_id",), ("run_id", "ts"), ("try_number",))


def kind(value: str) -> str:
    """Return the kind of storage that a base names: s3, gs, abfs or file; empty for no base."""
    return STORAGES.get(value.partition("://")[0], "")


def base(value: str) -> str:
    """Check the base of a storage and return it without a slash at its end; ValueError says what is wrong, never repeats it."""
    if not value:
        return ""
    parts = urlsplit(value)
    scheme = value.partition("://")[0]
    if not kind(value):
        raise ValueError("it starts with none of s3://, gs://, abfs:// and file:///")
    if parts.password or parts.query or parts.fragment or "::" in value:
        raise ValueError("it is more than a bucket and a prefix; accounts belong into log_options")
    if scheme == "file" and (parts.netloc or not parts.path.strip("/")):
        raise ValueError("it is no absolute path such as file:///opt/airflow/logs")
    if scheme != "file" and not parts.netloc:
        raise ValueError(f"it names no bucket: write {scheme}://bucket/prefix")
    if {".", ".."} & set(parts.path.split("/")):
        raise ValueError("it holds a . or .. as a folder: write the path that is meant")
    return value.rstrip("/")


@dataclass(frozen=True, slots=True)
class LogPath:
    """A template, parsed: literal text and field names in turn, once for plain tasks and once for mapped ones."""

    plain: tuple[str, ...]
    mapped: tuple[str, ...]

    def of(self, key: TaskTry) -> str | None:
        """Return the path of a try's log below the base, or None where the key does not tell it.

        That is so for a date that the run's id does not hold, and for a mapped task where the template knows no
        `map_index`. ValueError, a sentence, where the path would lead out of the base.
        """
        parts = self.mapped if key.map_index >= 0 else self.plain
        if key.map_index >= 0 and "map_index" not in parts[1::2]:
            return None
        values = [FIELDS[name](key) for name in parts[1::2]]
        if None in values:
            return None
        path = "".join(part for pair in zip(parts[::2], [*values, ""], strict=True) for part in pair if part)
        if path.startswith("/") or "\0" in path or {".", ".."} & set(re.split(r"[/\\]", path)):
            raise ValueError(f"the path {path[:200]!r} would lead out of log_base")
        return path


def parse(template: str) -> LogPath:
    """Parse a template; ValueError says in one sentence what is wrong with it."""
    template = template.strip()
    if not template or template.startswith("/"):
        raise ValueError("it is no path below log_base" if template else "it is empty")
    parsed = LogPath(_parts(_MAPPED.sub("", template)), _parts(_MAPPED.sub(r"\1", template)))
    for names in _NEEDED:
        if not set(names) & set(parsed.plain[1::2]):
            raise ValueError(f"without {{{' or '.join(names)}}} the logs of several tries would lie in one place")
    return parsed


def _parts(template: str) -> tuple[str, ...]:
    parts: list[str] = []
    end = 0
    for found in _FIELD.finditer(template):
        parts += [_literal(template[end : found.start()]), _name(found[1] if found[2] is None else found[2])]
        end = found.end()
    return (*parts, _literal(template[end:]))


def _literal(text: str) -> str:
    if re.search(r"[{}]", text):
        raise ValueError(
            f"{text.strip()[:60]!r} is more than it can say: only fields in braces, and {{% if ti.map_index >= 0 %}}"
        )
    return text


def _name(said: str) -> str:
    name = _DEFAULTED.sub("", said).removeprefix("ti.").removeprefix("dag_run.")
    name = _ALIASES.get(name, name)
    if name not in FIELDS:
        raise ValueError(f"it names an unknown field {said[:60]!r}; known are {', '.join(FIELDS)}")
    return name
