"""The templates of an issue's title and body: Jinja's language in a sandbox, in which nothing foreign is ever written raw.

Owns the default texts and what a template may use. A value that a template prints is masked and made harmless unless one of
the filters here has done so already; Jinja's own filters, `safe` included, do not change that. A template that does not
render is one SettingsError that names the field, the line and what is wrong.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, Undefined, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

from triage import markdown
from triage.errors import SettingsError
from triage.markdown import Safe
from triage.redact import PLAIN, Redactor

_SEEN = 20_000

TITLE = "{{ title }}{% if tasks|length == 1 %} ({{ tasks[0].name }}){% endif %}"

BODY = """\
**{{ cause.name|capitalize }}**{% if deployments %} in {{ deployments|codes }}{% endif %}: \
{{ total|many("failed try", "failed tries") }}{% if total > 1 %} since {{ first_seen }}, the last{% else %},{% endif %} {{ last_seen }}.\
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
#### First to try

{{ cause.summary }}

{% for step in cause.steps %}
{{ loop.index }}. {{ step }}
{% endfor %}

#### Where and how often

| Task | Failed tries |
|:--|--:|
{% for task in tasks[:10] %}
| {{ task.name|code }} | {{ task.count }} |
{% endfor %}
{% if tasks|length > 10 %}
| and {{ (tasks|length - 10)|many("more task") }} | |
{% endif %}

{% if trend %}
{{ trend }}

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

    Words of a title are only masked: `markdown.title` takes the whole of it in hand.
    """

    def __init__(self, redactor: Redactor = PLAIN, *, as_title: bool = False) -> None:
        self._redactor = redactor
        self._as_title = as_title

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
        return value if isinstance(value, Safe) else markdown.fence(self._redactor.text(str(value)))

    def link(self, words: object, url: str) -> Safe:
        """Write a link."""
        said = words if isinstance(words, Safe) else self._masked(words)
        return markdown.link(said, url if self._redactor.text(url) == url else "")

    def _masked(self, value: object) -> str:
        """Mask what goes into one line. Far more of it is looked at than is ever shown, so that no secret is cut in two."""
        return self._redactor.text(str(value)[:_SEEN])


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
    try:
        return _compiled(template).render({**values, _PEN: Pen(redactor, as_title=as_title)})
    except TemplateSyntaxError as exc:
        raise _wrong(field, exc.lineno, exc) from exc
    except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, AttributeError, RecursionError) as exc:
        lines = [frame.lineno for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == "<template>"]
        raise _wrong(field, lines[-1] if lines else None, exc) from exc


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


@lru_cache(1)
def _environment() -> SandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_finalize
    )
    made.filters |= {name: _by_pen(name) for name in ("plain", "code", "codes", "fence")} | {"many": many}
    made.globals = {"link": _by_pen("link"), "range": made.globals["range"]}
    return made


def _by_pen(name: str) -> Callable[..., Safe]:
    @pass_context
    def write(context: Context, *args: Any) -> Safe:
        written: Safe = getattr(context[_PEN], name)(*args)
        return written

    return write


@pass_context
def _finalize(context: Context, value: Any) -> Safe | Undefined:
    return value if isinstance(value, Undefined) else context[_PEN].plain(value)
