"""What GitLab would do with a text: quick actions that run, and mentions, references and markup that take effect.

Two rules for quick actions, by version, re-typed in Python from reading: `new` takes every top-level paragraph's lines that
start with a slash; `old` is a regular expression over the raw text which skips only fences of three backticks, `>>>` blocks,
blocks of HTML and some inline code. Where the two readings left a doubt, the one that runs more is taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from markdown_it import MarkdownIt

# GitLab's documentation, "quick actions": those for issues, and a few of merge requests that an issue ignores.
COMMANDS = (
    *(
        "add_child",
        "add_contacts",
        "add_email",
        "add_parent",
        "approve",
        "assign",
        "assign_reviewer",
        "award",
        "blocked_by",
    ),
    *(
        "blocks",
        "board_move",
        "cc",
        "clear_health_status",
        "clear_weight",
        "clone",
        "close",
        "confidential",
        "convert_to_ticket",
    ),
    *(
        "copy_metadata",
        "create_merge_request",
        "done",
        "draft",
        "due",
        "duplicate",
        "epic",
        "estimate",
        "estimate_time",
    ),
    *(
        "health_status",
        "invite_email",
        "iteration",
        "label",
        "labels",
        "link",
        "lock",
        "merge",
        "milestone",
        "move",
        "page",
    ),
    *(
        "parent",
        "promote",
        "promote_to",
        "promote_to_incident",
        "publish",
        "react",
        "ready",
        "reassign",
        "reassign_reviewer",
    ),
    *(
        "rebase",
        "relabel",
        "relate",
        "remove_child",
        "remove_contacts",
        "remove_due_date",
        "remove_email",
        "remove_epic",
    ),
    *("remove_estimate", "remove_iteration", "remove_label", "remove_milestone", "remove_parent", "remove_time_spent"),
    *(
        "remove_zoom",
        "reopen",
        "request_changes",
        "request_review",
        "set_parent",
        "severity",
        "shrug",
        "spend",
        "spend_time",
    ),
    *(
        "status",
        "subscribe",
        "tableflip",
        "tag",
        "target_branch",
        "timeline",
        "title",
        "todo",
        "type",
        "unapprove",
        "unassign",
    ),
    *("unassign_reviewer", "unlabel", "unlink", "unlock", "unsubscribe", "weight", "zoom"),
)
_NAMES = "|".join(sorted(COMMANDS, key=len, reverse=True))
_COMMAND = re.compile(rf"^/(?P<name>{_NAMES})(?:[ ]+(?P<arg>[^\n]*?))?[ \t]*$", re.IGNORECASE)
_OLD = re.compile(
    rf"""(?P<code>^```.+?\n```$)
      | (?P<inline>^`\n*.+?\n*`$)
      | (?P<html>^<[^>]+?>\n.+?\n</[^>]+?>$)
      | (?P<quote>^>>>.+?\n>>>$)
      | (?:^/(?P<name>{_NAMES})(?:[ ](?P<arg>[^\n]*))?(?:\s*\n|$))""",
    re.IGNORECASE | re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
_NAME = r"[a-zA-Z0-9_](?:[a-zA-Z0-9_.\-]*[a-zA-Z0-9_\-])?"
_REFERENCES = {
    "mention": re.compile(rf"(?<![\w/@])@({_NAME}(?:/{_NAME})*)"),
    "issue": re.compile(r"(?<![\w&#])#\d+\b|\bGL-\d+\b"),
    "merge_request": re.compile(r"(?<![\w!])!\d+\b"),
    "label": re.compile(r'(?<!\w)~(?:"[^"\n]+"|[A-Za-z0-9_][\w.:?\-&]*)'),
    "milestone": re.compile(r'(?<![\w%])%(?:"[^"\n]+"|[A-Za-z0-9_][\w.\-]*)'),
    "epic": re.compile(r"(?<![\w&])&\d+\b"),
    "snippet": re.compile(r"(?<![\w$])\$\d+\b"),
    "alert": re.compile(r"\^alert#\d+\b"),
    "vulnerability": re.compile(r"\[(?:vulnerability|feature_flag|cadence|contact|issue|epic|work_item):[^\]]+\]"),
    "commit": re.compile(r"(?<![\w/.\-])[0-9a-f]{7,40}(?![\w.\-])"),
    "url": re.compile(r"\b(?:https?|ftp)://[^\s<>\"]+"),
    "emoji": re.compile(r":[a-z0-9_+\-]+:"),
}
_MARKUP = {
    "html_block": "html",
    "html_inline": "html",
    "image": "image",
    "link_open": "link",
    "heading_open": "heading",
    "table_open": "table",
}


@dataclass(frozen=True)
class Effect:
    """Something that a text did: what (`quick action`, `mention`, `image`…), the words that did it, and where they stood."""

    kind: str
    words: str
    where: str = ""


@dataclass(frozen=True)
class Command:
    name: str
    arg: str


def quick_actions(text: str, rule: str) -> tuple[str, list[Command]]:
    """Return the text that is stored and the commands that run, by the `new` or the `old` rule."""
    text = text.replace("\r", "")
    return _old(text) if rule == "old" else _new(text)


def _old(text: str) -> tuple[str, list[Command]]:
    found: list[Command] = []

    def taken(match: re.Match[str]) -> str:
        if match["name"] is None:
            return match[0]
        found.append(Command(match["name"].lower(), (match["arg"] or "").strip()))
        return ""

    kept = _OLD.sub(taken, text)
    return (kept.rstrip() if found else text), found


def _new(text: str) -> tuple[str, list[Command]]:
    lines = text.split("\n")
    found: list[Command] = []
    gone: set[int] = set()
    for token in _MARKDOWN.parse(text):
        if token.type != "paragraph_open" or token.level or token.map is None:
            continue
        for number in range(*token.map):
            match = _COMMAND.match(lines[number].strip())
            if match:
                found.append(Command(match["name"].lower(), (match["arg"] or "").strip()))
                gone.add(number)
    if not found:
        return text, []
    return "\n".join(line for number, line in enumerate(lines) if number not in gone).rstrip(), found


def effects(text: str, where: str, title: bool = False) -> list[Effect]:
    """Return what a text does when it is shown: everything outside code that pings, refers, loads or formats.

    A title knows no Markdown, so code does not protect there; U+2060 behind the `@` does.
    """
    if title:
        return [Effect(kind, match[0], where) for kind, match in _referring(text) if kind not in ("commit", "emoji")]
    found = []
    for token in _MARKDOWN.parse(text):
        if token.type in _MARKUP:
            found.append(Effect(_MARKUP[token.type], token.content or token.tag, where))
        if token.type == "inline":
            if re.match(r"\[[ xX~]\]\s", token.content) and token.level > 2:
                found.append(Effect("task", token.content, where))
            for child in token.children or []:
                if child.type in _MARKUP:
                    found.append(Effect(_MARKUP[child.type], child.content or str(child.attrs), where))
                elif child.type == "text":
                    found += [Effect(kind, match[0], where) for kind, match in _referring(child.content)]
    return found


def _referring(text: str) -> list[tuple[str, re.Match[str]]]:
    return [(kind, match) for kind, pattern in _REFERENCES.items() for match in pattern.finditer(text)]
