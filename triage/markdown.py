"""Foreign text made harmless in GitLab's Markdown: as a block of code, as code in a line, as plain words.

Owns what a text of a log may do in an issue, which is nothing: no quick action by GitLab's old rule or its new one, no
mention, reference, link, picture, HTML or markup, and none of our own hidden lines forged. Each function takes any text
and returns what is safe at any place of a line, and `fence` what is safe as lines of its own. Knows no issue and no template.

What a fence and code show is the text itself: their lines start with a space, which the parser takes off again. What stands as
words has invisible word joiners (U+2060) where GitLab's filters would find something; titles know no other escape.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

# GitLab's limits: 255 characters of a title, 1 MiB of a description (its documentation says 1,000,000 for a comment).
TITLE_MAX, TEXT_MAX = 255, 1_000_000
EVIDENCE_MAX = 20_000
_LINE_MAX, _CODE_MAX, _WORDS_MAX = 2_000, 250, 1_000
JOINER = "\u2060"

# CSI and OSC sequences (ECMA-48, 5.4 and 5.6), then the two-byte escapes.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
# Characters that draw nothing, break lines for some readers only, or reorder their neighbours; lone surrogates.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f]"
)
# One of our hidden lines, written by somebody else; a rich text editor may write a fence anew without its indentation.
_FORGED = re.compile(r"<!--(?=\s*airtriage)", re.I)
# A quote of several lines (GitLab before 18 looks for it in code too, indented or not).
_QUOTE = re.compile(r"^([ \t]*>>>)(?=[ \t]*$)", re.M)
_RUN = re.compile(r"`+")
# GitLab shows a patch of colour behind code that is one.
_COLOUR = re.compile(r"\s*(?:#[0-9a-f]{3,8}|(?:rgb|hsl)a?\([^()]*\))\s*", re.I)

# Behind each of these a joiner ends what GitLab would find: mention, issue, merge request, label, milestone, epic, snippet,
# alert, iteration, emoji, address, tag, attribute, definition.
_TRIGGER = re.compile(
    r"[@#!~%&$^<](?=\S|$)|:(?=[\w+\-]+:|//|$)|(?<=mailto):|(?<=xmpp):|\*(?=i)|\](?=[(\[:])|\[(?=[\[^+\-!~ xX]|[A-Za-z_]+[:\]])|\{(?=[+\-\w])"
)
_BEFORE_END = re.compile(r"(?<=[\w.\-])>")
# Ruby's `\w` knows ASCII alone: what stands behind a letter of another alphabet begins a word for GitLab.
_WWW = re.compile(r"(www)\.", re.I)
# `PROJ-1` of Jira and YouTrack, `CU-1a` of ClickUp, `T1` of Phorge, `bug 1` of EWM: GitLab links to trackers that a project has.
_TRACKER = re.compile(
    r"([A-Za-z][A-Za-z0-9_]*-|(?<![A-Za-z0-9])T|(?<![A-Za-z0-9_])(?:bug|task|work item|workitem|rtcwi|defect))(?=\s*(?:\d|$))"
    r"|(?<![A-Za-z0-9_])CU-(?=[a-z0-9])",
    re.I,
)
_COMMIT = re.compile(r"(?<!\w)[0-9a-f]{6,}", re.I | re.A)
# What means something anywhere in a line of Markdown, and what does only where a line begins.
_MARKUP = re.compile(r"[\\`*\[\]<>~$&|{}]|(?<![^\W_])_|_(?![^\W_])")
_START = re.compile(r"^(?:(\d{1,9})(?=[.)])|(?=[!-/:-@^_]))")
# What `fence`, `code` and `plain` made, to be taken back.
_FENCED = re.compile(r" (?P<ticks>`{4,})text\n(?P<inner>.*)\n (?P=ticks)", re.S)
_CODE = re.compile(r"(?P<ticks>`+) ?(?P<inner>[^`].*?|.*?[^`]) ?(?P=ticks)")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")


class Safe(str):
    """Markdown that is ours or has been made harmless. Whatever is done to one gives a `str` again, which is not."""

    __slots__ = ()


def shown(text: str) -> str:
    """Make every character of a text visible: no colour codes, what is invisible named as `<U+202E>`; CR becomes LF."""
    text = _ANSI.sub("", text.replace("\r\n", "\n")).replace("\r", "\n")
    return _INVISIBLE.sub(lambda match: f"<U+{ord(match[0]):04X}>", text)


def fence(text: str, limit: int = EVIDENCE_MAX) -> Safe:
    """Return a text as a block of code, to stand between blank lines; at most `limit` bytes of it, its end kept longest.

    The fence is longer than any run of backticks inside. It is indented by a space, as is every line: the parser takes that
    off, so the text is shown as it is, while no raw line starts with a slash.
    """
    text = _QUOTE.sub(rf"\1{JOINER}", unforged(_shortened(shown(text), limit)))
    ticks = "`" * max(4, 1 + max(map(len, _RUN.findall(text)), default=0))
    lines = "".join(f" {line}\n" if line else "\n" for line in text.split("\n"))
    return Safe(f" {ticks}text\n{lines} {ticks}")


def code(text: str, limit: int = _CODE_MAX) -> Safe:
    """Return a text as code in one line, at most `limit` characters of it; safe in the cell of a table too.

    A bar becomes one that no table is parted by: how a backslash before it counts depends on the parser.
    """
    line = unforged(cut_line(shown(text), limit)).replace("|", "\u2502")
    if not line:
        return Safe("—")
    if _COLOUR.fullmatch(line):
        line = f"{line[:1]}{JOINER}{line[1:]}"
    ticks = "`" * (1 + max(map(len, _RUN.findall(line)), default=0))
    space = " " if line[0] == "`" or line[-1] == "`" else ""
    return Safe(f"{ticks}{space}{line}{space}{ticks}")


def plain(text: str, limit: int = _WORDS_MAX) -> Safe:
    """Return a text as words in one line, at most `limit` characters of it: every sign stands for itself."""
    line = _MARKUP.sub(r"\\\g<0>", _joined(cut_line(shown(text), limit)))
    return Safe(line if line.startswith("\\") else _START.sub(r"\1\\", line))


def title(text: str) -> Safe:
    """Return a text as a title: one line, 255 characters at most. Titles know no escapes: joiners alone keep them quiet."""
    line = cut_line(shown(text), TITLE_MAX)
    joined = _joined(line)
    while len(joined) > TITLE_MAX:
        line = cut_line(line, len(line) - max(1, (len(joined) - TITLE_MAX) // 2))
        joined = _joined(line)
    return Safe(joined)


def again(made: str) -> Safe:
    """Return what harmless Markdown says as plain words, for a place where a block or code would be none."""
    text = made.replace(JOINER, "")
    if block := _FENCED.fullmatch(text):
        return plain(block["inner"])
    if span := _CODE.fullmatch(text):
        return plain(span["inner"])
    return plain(_ESCAPED.sub(r"\1", text))


def is_trigger(before: str, text: str) -> bool:
    """Say whether GitLab would find something where `before` ends and a harmless `text` begins."""
    found = _TRIGGER.match(f"{before[-1:]}{text.lstrip(chr(92))[:80]}")
    return found is not None and bool(before)


def link(words: str, url: str) -> Safe:
    """Return a link with words of any origin, or such as are Safe; the words alone where the address is none of http(s)."""
    target, said = _address(url), words if isinstance(words, Safe) else plain(words, 120)
    return Safe(f"[{said}]({target})") if target else said


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            return ""
    except ValueError:
        return ""
    # What could end a link's address or start markup is quoted; what is quoted already stays.
    return quote(url, safe="%/:?#@!$&+,=~-._")


def unforged(text: str) -> str:
    """Return Markdown of somebody's in which none of its lines looks like a hidden one of ours."""
    return _FORGED.sub(f"<!--{JOINER}", text)


def cut_line(text: str, limit: int) -> str:
    """Return a text as one line without space around it, at most `limit` characters."""
    line = " ".join(text[: limit * 4].split())
    return line if len(line) <= limit else line[: max(limit - 1, 0)].rstrip() + "…"


def cut(text: str, size: int) -> str:
    """Return the beginning of a text in at most `size` bytes of UTF-8, whole characters and, where there are any, whole lines."""
    data = text.encode("utf-8", "replace")
    if len(data) <= size:
        return text
    kept = data[:size].decode("utf-8", "ignore")
    return kept[: kept.rfind("\n") + 1] or kept


def _joined(line: str) -> str:
    line = _TRIGGER.sub(rf"\g<0>{JOINER}", line)
    line = _BEFORE_END.sub(f"{JOINER}>", line)
    line = _WWW.sub(rf"\1{JOINER}.", line)
    line = _TRACKER.sub(rf"\g<0>{JOINER}", line)
    return _COMMIT.sub(lambda match: JOINER.join(re.findall(".{1,5}", match[0])), line)


def _shortened(text: str, limit: int) -> str:
    """Cut long lines, then the middle of a long text: the beginning says where, the end what."""
    lines = [line if len(line) <= _LINE_MAX else line[: _LINE_MAX - 1] + "…" for line in text.strip("\n").split("\n")]
    text = "\n".join(lines)
    size = len(text.encode("utf-8", "replace"))
    if size <= limit:
        return text
    head = cut(text, limit // 4)
    tail, room = [], limit - len(head.encode()) - 100
    for line in reversed(lines):
        room -= len(line.encode("utf-8", "replace")) + 1
        if room < 0:
            break
        tail.append(line)
    left = size - len(head.encode()) - sum(len(line.encode()) + 1 for line in tail)
    return "\n".join([head.rstrip("\n"), f"… {left:,} bytes left out here …", *reversed(tail)])
