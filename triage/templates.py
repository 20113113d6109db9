"""The templates of an issue's title and body: Jinja's language in a sandbox, in which nothing foreign is ever written raw.

Owns the default texts and what a template may use. A value that a template prints is masked and made harmless unless one of
the filters here has done so already; Jinja's own filters, `safe` included, do not change that. A template that does not
render is one SettingsError that names the field, the line and what is wrong.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import (
    StrictUndefined,
    Template,
    TemplateError,
    TemplateRuntimeError,
    TemplateSyntaxError,
    Undefined,
    pass_context,
)
from jinja2.filters import do_format
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

from triage import markdown, placing
from triage.errors import SettingsError
from triage.markdown import Safe
from triage.redact import PLAIN, Redactor

_SEEN = 20_000
# What one rendering may print (a step for so many characters), call and count to, and the longest text it may make: none takes seconds.
_MOST, _STEP, _LONGEST = 100_000, 64, 4_000_000

TITLE = "{{ title }}{% if tasks|length == 1 %} ({{ tasks[0].name }}){% endif %}"

BODY = """\
**{{ cause.name|capitalize }}**{% if deployments %} in {{ deployments|codes }}{% endif %}: \
{{ total|many("failed try", "failed tries") }}{% if (last_seen - first_seen).total_seconds() >= 60 %} since {{ first_seen }}, the last{% else %},{% endif %} {{ last_seen }}.\
{% if outcome %} {{ outcome }}{% endif %}
{% if owner %} Owner: {{ owner }}.{% endif +%}

{% if links %}
{{ links }}

{% endif %}
{% if state in ("REGRESSED", "MUTED", "RESOLVED") %}
**{{ state|capitalize }}** since {{ since }}{% if reason %}: {{ reason }}{% endif +%}

{% endif %}
#### Evidence

{% if newest %}
{{ newest.line }}

{% endif %}
{% if evidence %}
{{ evidence|fence }}
{% else %}
{{ silence }}
{% endif %}

{% if source and source.url %}
In the code: {{ source.link }}, at the commit that ran.

{% endif %}
{% if suspects %}
#### Changed since the last good run

{{ suspects.said }}

{% for one in suspects.found %}
- {{ one.line }}
{% endfor %}
{% if suspects.more %}
- and {{ suspects.more|many("more commit") }}
{% endif %}

{% endif %}
#### First to try

{{ cause.summary }}

{% for step in cause.steps %}
{{ loop.index }}. {{ step }}
{% endfor %}

{% set many_tasks = tasks|length > 1 or (tasks and not newest) %}
{% if many_tasks or trend %}
#### Where and how often

{% if many_tasks %}
| Task | Failed tries |
|:--|--:|
{% for task in tasks[:10] %}
| {{ task.name|code }} | {{ task.count }} |
{% endfor %}
{% if tasks|length > 10 %}
| and {{ (tasks|length - 10)|many("more task") }} | |
{% endif %}

{% endif %}
{% if trend %}
{{ trend }}

{% endif %}
{% endif %}
{% if also_in %}
#### Also in

{% for one in also_in %}
- {{ one.line }}
{% endfor %}

{% endif %}
{% if next_step %}
**Next:** {{ next_step }}

{% endif %}
"""


class Pen:
    """Writes foreign values: each is masked by the redactor, then made harmless. Addresses that hold a secret are no links.

    Words of a title are only masked: `markdown.title` takes the whole of it in hand. `written` is all that was printed.
    """

    def __init__(self, redactor: Redactor = PLAIN, *, as_title: bool = False) -> None:
        self._redactor = redactor
        self._as_title = as_title
        self.written: set[str] = set()
        self._left = _MOST

    def printed(self, value: object) -> str:
        """Write a value where a template prints it, marked as foreign; a title knows no places, so no marks."""
        said = self.plain(value)
        self.spend(1 + len(said) // _STEP)
        if self._as_title:
            return said
        self.written.add(said)
        return placing.marked(said)

    def spend(self, steps: int) -> None:
        """Take steps of what one rendering may take, or end it with a TemplateError."""
        self._left -= steps
        if self._left < 0:
            raise TemplateRuntimeError(f"it takes more than {_MOST:,} steps")

    def plain(self, value: object) -> Safe:
        """Write a value as words; what is Safe stays as it is, None is nothing, a time is UTC."""
        match value:
            case Safe():
                return value
            case None:
                return Safe("")
            case bool() | int() | float():
                return Safe(f"{value:,}")
            case datetime():
                return Safe(moment(value))
            case _:
                masked = self._masked(value)
                return Safe(masked) if self._as_title else markdown.plain(masked)

    def code(self, value: object) -> Safe:
        """Write a value as code in a line."""
        return value if isinstance(value, Safe) else markdown.code(self._masked(value))

    def codes(self, values: Iterable[object], shown: int = 5) -> Safe:
        """Write values as code, the first `shown` of them: `a`, `b` and 3 more."""
        every = list(values)
        more = f" and {len(every) - shown:,} more" if len(every) > shown else ""
        return Safe(", ".join(self.code(value) for value in every[:shown]) + more)

    def fence(self, value: object) -> Safe:
        """Write a value as a block of code."""
        return value if isinstance(value, Safe) else markdown.fence(self._redactor.text(placing.unmarked(str(value))))

    def link(self, words: object, url: str) -> Safe:
        """Write a link."""
        said, url = words if isinstance(words, Safe) else self._masked(words), placing.unmarked(url)
        return markdown.link(said, url if self._redactor.text(url) == url else "")

    def _masked(self, value: object) -> str:
        """Mask what goes into one line. Far more of it is looked at than is ever shown, so that no secret is cut in two."""
        return self._redactor.text(placing.unmarked(str(value)[:_SEEN]))


def moment(when: datetime) -> str:
    """Write a time of the server's clock: to the minute, in UTC."""
    return f"{when:%Y-%m-%d %H:%M} UTC"


def many(count: int, noun: str, plural: str = "") -> Safe:
    """Join a count and its noun: `1 failed try`, `1,203 failed tries`."""
    return Safe(f"{count:,} {noun if count == 1 else plural or noun + 's'}")


def rendered(
    template: str, values: Mapping[str, object], redactor: Redactor = PLAIN, *, as_title: bool = False, field: str = ""
) -> str:
    """Render a template. SettingsError, naming `field` (by default what it is) and the line, where it does not."""
    field = field or f"the template of the {'title' if as_title else 'body'}"
    pen = Pen(redactor, as_title=as_title)
    try:
        said = _streamed(_compiled(placing.unmarked(template)).generate({**values, _PEN: pen}))
    except TemplateSyntaxError as exc:
        raise _wrong(field, exc.lineno, exc) from exc
    except (
        TemplateError,
        ArithmeticError,
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        RecursionError,
        MemoryError,
    ) as exc:
        lines = [frame.lineno for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == "<template>"]
        raise _wrong(field, lines[-1] if lines else None, exc) from exc
    # Each place of the default template is known to be a good one; a title has none.
    return placing.unmarked(said) if as_title or template == BODY else placing.placed(said, pen.written)


def _streamed(parts: Iterable[str]) -> str:
    found, size = [], 0
    for part in parts:
        size += len(part)
        if size > _LONGEST:
            raise TemplateRuntimeError(f"it prints more than {_LONGEST:,} characters")
        found.append(part)
    return "".join(found).replace("\r", "\n")


def _wrong(field: str, line: int | None, exc: Exception) -> SettingsError:
    said = str(exc).rstrip(".").splitlines()[0] if str(exc) else type(exc).__name__
    at = f" in line {line}" if line else ""
    return SettingsError(
        f"{field} does not render{at}: {said}.",
        "docs/gitlab.md names what a template can use; leave it out for the default.",
    )


# The pen of one rendering, under a name that templates have no reason to use; all it can do is write harmlessly.
_PEN = "pen_"


@lru_cache(64)  # compiling takes fifty times as long as rendering
def _compiled(template: str) -> Template:
    return _environment().from_string(template)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which no template takes for ever: each call and each number of a range is a step."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call what a template calls."""
        __context[_PEN].spend(1)
        found = super().call(__context, __obj, *args, **kwargs)
        if isinstance(found, range):
            __context[_PEN].spend(len(found))
        return found

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Multiply or format, unless what comes of it is larger than any template needs."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**" and not (numbers and abs(left) <= 1_000 and abs(right) <= 6):
            raise OverflowError("the power is too large")
        if operator == "%" and isinstance(left, str):
            _check_widths(left)
        if operator == "*" and not numbers and _size(left) * _size(right) > _LONGEST:
            raise OverflowError("the text or list is too long")
        return super().call_binop(context, operator, left, right)


def _check_widths(text: str) -> None:
    """Refuse a text to be formatted with a width or precision that fills the memory, or that is only known then."""
    if re.search(r"%[^a-zA-Z%]*(?:\d{5}|\*)", text):
        raise OverflowError("the width is too large")


def _formatted(value: object, *args: Any, **kwargs: Any) -> str:
    _check_widths(str(value))
    return do_format(str(value), *args, **kwargs)


def _centred(value: object, width: int = 80) -> str:
    return str(value).center(min(width, _LONGEST))


def _size(value: Any) -> int:
    return abs(value) if isinstance(value, int) else len(value)


@lru_cache(1)
def _environment() -> SandboxedEnvironment:
    made = _Sandbox(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_finalize)
    made.filters |= {name: _by_pen(name) for name in ("plain", "code", "codes", "fence")} | {"many": many}
    made.filters |= {"format": _formatted, "center": _centred}
    made.globals = {"link": _by_pen("link"), "range": made.globals["range"]}
    return made


def _by_pen(name: str) -> Callable[..., Safe]:
    @pass_context
    def write(context: Context, *args: Any) -> Safe:
        written: Safe = getattr(context[_PEN], name)(*args)
        return written

    return write


@pass_context
def _finalize(context: Context, value: Any) -> str | Undefined:
    return value if isinstance(value, Undefined) else context[_PEN].printed(value)
