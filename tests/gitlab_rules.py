"""What GitLab would make of a text, in every version: the strictest reading of its rules, for a text that is to do nothing.

Quick actions by both rules of `gitlab_text`; from GitLab's source the text filters that run before the parser (front matter,
`>>>`, `$$`, includes) and the reference, autolink, emoji, formula and inline diff filters that run over text nodes. Markdown
itself is markdown-it-py's: CommonMark with tables and strikethrough. `effects` names everything that would come to life.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.gitlab_text import quick_actions

REFERENCES = {
    "mention": r"(?<!\w)@(?!\s)[A-Za-z0-9_.][\w./-]*|@all\b",
    "cross-project commit": r"[\w-]@\w",
    "issue": r"#\d+",
    "GL-": r"(?<![A-Za-z0-9_])[A-Za-z][A-Za-z0-9_]*-\d+",
    "ClickUp": r"(?<![A-Za-z0-9_])(?:#|CU-)[a-z0-9]+",
    "Phorge": r"(?<![A-Za-z0-9])T\d+(?![A-Za-z0-9])",
    "EWM": r"(?i)(?<![A-Za-z0-9_])(?:bug|task|work item|workitem|rtcwi|defect)\s+\d+",
    "merge request": r"!\d+",
    "snippet": r"\$\d+",
    "epic": r"&\d+",
    "label": r'~(?:[A-Za-z0-9_\-?.&:]+|".+?")',
    "milestone": r'%(?:[A-Za-z0-9_\-.]+|".+?")',
    "placeholder": r"%\{\w+\}",
    "iteration": r"\*iteration:",
    "bracketed": r"\[(?:issue|work_item|epic|cadence|vulnerability|feature_flag|contact|wiki_page):",
    "alert": r"\^alert#\d+",
    "commit": r"(?<![0-9A-Za-z_])[0-9a-f]{7,40}(?![0-9A-Za-z_])",
    "project": r"[\w-]+/[\w-]+>",
    "wiki": r"\[\[.+?\]\]",
    "contents": r"\[TOC\]|\[\[_TOC_\]\]",
    "autolink": r"[A-Za-z][A-Za-z0-9+.-]+://[^\s>]+|www\.\w|mailto:\w|xmpp:\w",
    "emoji": r":[\w+-]+:",
    "inline diff": r"\{\+.*?\+\}|\{-.*?-\}|\[\+.*?\+\]|\[-.*?-\]",
    "footnote": r"\[\^[^\]]+\]|\^\[",
    "attributes": r"\{(?:width|height)=",
    "task": r"^\s*\[[ x~]\]\s",
    "alert box": r"^\s*\[!\w+\]",
    "bare HTML": r"<[A-Za-z!/?]",
}  # fmt: skip
_REFERENCES = {name: re.compile(pattern) for name, pattern in REFERENCES.items()}
_MATH = re.compile(r"\$\$\ *[^$\n]+?\ *\$\$|\$(?:\S[^$\n]*?\S|[^$\s])\$(?:[^\d]|$)")
_COLOUR = re.compile(r"\s*(?:#[0-9a-f]{3,4}|#[0-9a-f]{6}|#[0-9a-f]{8}|(?:rgb|hsl)a?\([\d\s,.%/]+\))\s*", re.I)
# The text filters that run over the source before any parser.
_BEFORE = {
    "front matter": re.compile(r"\A(?:[^\r\n]*coding:[^\r\n]*)?\s*^(?:---|\+\+\+|;;;)[ \t]*\S*\s*^.*?^(?:---|\+\+\+|;;;)", re.M | re.S),
    "multi-line quote": re.compile(r"(?:(?<=^\n)|\A)\ *>>>\ *\n.*\n\ *>>>\ *(?=\n$|\Z)", re.M | re.S),
    "math block": re.compile(r"^\$\$\ *\n.*?\n\$\$\ *$", re.M | re.S),
    "include": re.compile(r"^::include\{file=.{1,1024}\}", re.M),
}  # fmt: skip
# Token types that stand for nothing but words.
_WORDS = {"inline", "text", "text_special", "softbreak", "code_inline", "paragraph_open", "paragraph_close"}


def parser() -> MarkdownIt:
    """CommonMark with GitHub's tables and strikethrough, as GitLab's parser has them; escapes stay visible."""
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable("text_join")


def commands(text: str) -> list[str]:
    """The quick actions that GitLab's old rule takes, and those that its new one does."""
    return [command.name for rule in ("old", "new") for command in quick_actions(text, rule)[1]]


def _content(token: Token) -> str:
    return "\n" if token.type in ("softbreak", "hardbreak") else token.content


def text_effects(text: str, *, escaped: str = "") -> Iterator[str]:
    """What GitLab's filters make of a text node; `escaped` is the node without its escaped characters."""
    for name, pattern in _REFERENCES.items():
        if found := pattern.search(text):
            yield f"{name}: {found[0]!r}"
    if found := _MATH.search(escaped or text):
        yield f"math: {found[0]!r}"


def effects(text: str, *, allowed: Sequence[str] = ()) -> list[str]:
    """Everything in a description or a comment that is more than words and code.

    `allowed` are the token types of what is ours, whose contents are looked at all the same.
    """
    found = [f"quick action: {name}" for name in commands(text)]
    found += [f"line: {line[:40]!r}" for line in re.split(r"[\r\n]", text) if line.startswith("/")]
    found += [name for name, pattern in _BEFORE.items() if pattern.search(text)]
    for token in parser().parse(text):
        found += _block_effects(token, allowed)
    return found


def _block_effects(token: Token, allowed: Sequence[str]) -> Iterator[str]:
    if token.type == "fence":
        if token.info.strip() != "text":
            yield f"fence: {token.info!r}"
    elif token.type == "inline":
        if re.search(r"^:\s", token.content, re.M):
            yield "definition"
        yield from _inline_effects(token.children or [], allowed)
    elif token.type == "html_block":
        for line in token.content.splitlines():
            if line.strip() and line not in allowed:
                yield f"HTML: {line!r}"
    elif token.type not in _WORDS and token.type not in allowed:
        yield token.type


def _inline_effects(children: Sequence[Token], allowed: Sequence[str]) -> Iterator[str]:
    text, bare = "", ""
    for child in [*children, Token("end", "", 0)]:
        if child.type in ("text", "text_special", "softbreak", "hardbreak"):
            text += _content(child)
            bare += " " if child.type == "text_special" else _content(child)
            if child.type != "hardbreak":
                continue
        yield from text_effects(text, escaped=bare)
        text = bare = ""
        if child.type == "code_inline" and _COLOUR.fullmatch(child.content):
            yield f"colour chip: {child.content!r}"
        elif child.type not in ("end", "code_inline") and child.type not in allowed:
            yield f"{child.type}: {child.attrs or child.content!r}"


def title_effects(title: str) -> list[str]:
    """What GitLab makes of a title: references, addresses, emoji; in newer versions inline Markdown too.

    Emphasis and inline code may come of it, as they only change the letters' look; no title pipeline has formulas.
    """
    found = [effect for effect in text_effects(title) if not effect.startswith("math")]
    if re.search(r"[\r\n\x00]", title) or len(title) > 255:
        found.append("not a title")
    looks = ("em_open", "em_close", "strong_open", "strong_close", "s_open", "s_close", "html_inline")
    for token in MarkdownIt("commonmark").enable("strikethrough").disable("text_join").parseInline(title):
        found += [
            child.type
            for child in token.children or []
            if child.type not in _WORDS and (child.type not in looks or child.type == "html_inline")
        ]
    return found
