"""People's own rules of grouping: what they are, which are refused, and what they do to a log and to what was found in it.

Owns the five things a rule can say: take this line for the cause, pass over these lines, pass over these frames, put
these together, keep these apart. `digest` names the whole of them: it stands in every fingerprint made with them. Linear:
a pattern reads bounded texts, and may not read one place in many ways. Must not look into settings.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from triage import causes
from triage.model import LogLine, Raised, place
from triage.redact import added
from triage.signature import output
from triage.signature.example import Example
from triage.signature.root import Finding

VERBS = ("cause", "ignore", "ignore_frames", "group", "separate")
PATTERNS = (*VERBS, "task")
# The longest pattern, and how much of one text it reads: a kept line is at most 8 KiB, a message 4 KiB.
PATTERN_MAX, TEXT_MAX = 1000, 4096
_CAPTURED_MAX = 200
# A pattern that finds something in all of these would find it in every log.
_ANY_LOG = ("Task exited with return code 1", "KeyError: 'amount'", 'psql: error: column "qty" is not there')
_ANY_TASK = ("orders.load", "a-1.b_2", "Shop7.X")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its `verb` of `VERBS`, its pattern, the tasks ("dag_id.task_id") it is for; None is for every task.

    `title` and `kind` (a name of `causes.CAUSES`) replace those of a failure that the rule takes or groups.
    """

    name: str
    verb: str
    pattern: re.Pattern[str]
    task: re.Pattern[str] | None = None
    title: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, the first one first; `digest` (8 hex digits, "" without rules) changes with any of them."""

    all: tuple[Rule, ...] = ()
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        told = [
            (one.name, one.verb, one.pattern.pattern, one.task and one.task.pattern, one.title, one.kind)
            for one in self.all
        ]
        digest = hashlib.sha256(json.dumps(told).encode("utf-8", "replace")).hexdigest()[:8] if told else ""
        object.__setattr__(self, "digest", digest)

    @property
    def telling(self) -> Callable[[LogLine], bool] | None:
        """What finds the lines that some rule takes for a cause, so that a log that is too long keeps them."""
        patterns = [one.pattern for one in self.all if one.verb == "cause"]
        if not patterns:
            return None
        return lambda line: any(pattern.search(text) for text in _texts(line) for pattern in patterns)

    def of(self, task: str) -> Applied:
        """Return those that are for this task."""
        found = ((one, one.task.search(task[:TEXT_MAX]) if one.task else None) for one in self.all)
        return Applied(tuple((one, _captured(match) if match else ()) for one, match in found if match or not one.task))


NONE = Rules()


def made(name: str, given: Mapping[str, str]) -> Rule:
    """Make a rule from its settings; ValueError says in words which of them is wrong, and why."""
    verbs = [verb for verb in VERBS if given.get(verb)]
    if len(verbs) != 1:
        said = f"{' and '.join(verbs)} exclude each other" if verbs else "it says nothing to do"
        raise ValueError(f"{said}; give it one of {', '.join(VERBS)}")
    verb, kind = verbs[0], given.get("kind", "")
    if kind and kind not in causes.CAUSES:
        raise ValueError(f"kind = {kind!r} is none of the causes, which docs/signatures.md lists")
    if verb not in ("cause", "group") and (kind or given.get("title")):
        raise ValueError(f"{verb} takes no title and no kind, since it names no failure")
    compiled = pattern(given[verb])
    tasks = pattern(given["task"]) if given.get("task") else None
    if verb == "separate" and not compiled.groups and not (tasks and tasks.groups):
        raise ValueError(f"{verb} = {given[verb]!r} has no group ( ), so it would tell nothing apart")
    is_for_all = tasks is None or all(tasks.search(text) for text in _ANY_TASK)
    if verb != "separate" and is_for_all and all(compiled.search(text) for text in _ANY_LOG):
        raise ValueError(f"{verb} = {given[verb]!r} would catch everything; write more of the words, or name a task")
    return Rule(name, verb, compiled, tasks, given.get("title", ""), kind)


def pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern; ValueError says in words why it is refused."""
    if len(text) > PATTERN_MAX:
        raise ValueError(f"the pattern that begins with {text[:40]!r} is longer than {PATTERN_MAX} characters")
    return added.pattern(text, empty="would catch everything")


@dataclass(frozen=True, slots=True)
class Applied:
    """The rules for one task, each with what its pattern of tasks captured."""

    rules: tuple[tuple[Rule, tuple[str, ...]], ...]

    def __bool__(self) -> bool:
        return bool(self.rules)

    def _saying(self, *verbs: str) -> Iterator[Rule]:
        return (one for one, _ in self.rules if one.verb in verbs)

    def cause(self, lines: Sequence[LogLine], instead: Finding) -> Finding | None:
        """Take the last line of the try that the pattern finds something in for the cause, whatever else stands there.

        It is read like any line that names an error; a group named `cause` narrows it, one named `title` is the title.
        """
        for one in self._saying("cause"):
            for line in reversed(lines):
                for text in reversed(_texts(line)):
                    if match := one.pattern.search(text):
                        return _taken(one, match, text, line, instead)
        return None

    def group(self, found: Finding, evidence: Sequence[LogLine]) -> None:
        """Put together the failures whose evidence or title the pattern finds something in.

        The first such rule counts. What its groups ( ) capture tells them apart again.
        """
        texts = [found.title, *(text for line in evidence for text in _texts(line))]
        for one in self._saying("group"):
            for match in filter(None, map(one.pattern.search, texts)):
                found.key = ("rule", one.name, *_captured(match))
                found.title, found.cause = one.title or found.title, one.kind or found.cause
                found.decisions.append(f"Your rule {one.name} groups it{_by(_captured(match))}.")
                return

    def separate(self, found: Finding, evidence: Sequence[LogLine], lines: Sequence[LogLine]) -> None:
        """Keep apart what differs in what the groups ( ) of the pattern, or of `task`, capture.

        It is looked for in the evidence, then in the try's other lines, the last one first.
        """
        for one, of_task in self.rules:
            if one.verb != "separate":
                continue
            texts = (text for line in (*evidence, *reversed(lines)) for text in _texts(line))
            if match := next(filter(None, map(one.pattern.search, texts)), None):
                said = (*of_task, *_captured(match))
                found.key = (*found.key, "apart", one.name, *said)
                found.decisions.append(f"Your rule {one.name} keeps it apart{_by(said)}.")


def _taken(one: Rule, match: re.Match[str], text: str, line: LogLine, instead: Finding) -> Finding:
    named = {name: " ".join(value.split()) for name, value in match.groupdict().items() if value}
    found = output.line(named.get("cause", text))
    found.title = one.title or named.get("title", found.title)
    found.cause = one.kind or found.cause
    found.numbers = (line.number,)
    found.decisions.insert(0, f"Your rule {one.name} takes {place(line.number)} for the cause.")
    if instead.numbers != found.numbers:
        found.decisions.append(f"Passed over, since the rule wins: {instead.title}.")
    return found


def _texts(line: LogLine) -> list[str]:
    """What a rule reads of a line: each of its lines, and each exception it holds as `Type: message`."""
    texts = [part.strip()[:TEXT_MAX] for part in line.text.split("\n")] if "\n" in line.text else [line.text[:TEXT_MAX]]
    return texts + [f"{one.type}: {one.value}"[:TEXT_MAX] for one in _exceptions(line.raised)]


def _exceptions(chain: tuple[Raised, ...]) -> Iterator[Raised]:
    """The exceptions of a chain, the root first, and those that its groups hold."""
    for one in reversed(chain):
        yield one
        for part in one.parts:
            yield from _exceptions(part)


def _captured(match: re.Match[str]) -> tuple[str, ...]:
    return tuple(" ".join((value or "").split())[:_CAPTURED_MAX] for value in match.groups())


def _by(said: Iterable[str]) -> str:
    told = ", ".join(value for value in said if value)
    return f" by {told}" if told else ""


EXAMPLES = (
    Example(
        Applied.cause,
        ("quota of acme exceeded\nupload stopped\nerror: exit status 3",),
        own={"cause": r"quota of \w{1,40} exceeded", "kind": "rate limit"},
        before=("error: exit status 3",),
        after=("quota of acme exceeded",),
    ),
    Example(
        Applied.group,
        ("error: file of north is late", "error: nothing from north yet", "error: file of south is late"),
        own={"group": r"^error: (?:file of|nothing from) (\w{1,20})", "title": "A vendor is late"},
        before=("error: file of north is late", "error: nothing from north yet", "error: file of south is late"),
        after=("A vendor is late", "A vendor is late"),
    ),
    Example(
        Applied.separate,
        ("tenant=acme\nerror: no rows to load", "tenant=bolt\nerror: no rows to load"),
        own={"separate": r"tenant=(\w{1,20})"},
        before=("error: no rows to load",),
        after=("error: no rows to load", "error: no rows to load"),
    ),
)
