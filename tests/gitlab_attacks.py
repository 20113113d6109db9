"""What the text of a log could do in GitLab if it were written there as it is: the forms, from GitLab's documentation.

Written down before the code that makes them harmless. The forms are those of "GitLab Flavored Markdown" (18.x) and "GitLab
quick actions" (18.x); what older versions did differently is from the source of the filters named here. `ATTACKS` is every
text of every form in eight dresses each; `PLACES` says where in an issue each of them is put.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

QUICK_ACTIONS = (
    "add_child #2", "add_contacts [contact:a@example.com]", "add_email a@example.com", "approve", "assign @root", "assign me",
    "assign_reviewer @root", "award :tada:", "blocked_by #2", "blocks #2", "board_move ~doing", "cc @root", "checkin_reminder weekly",
    "child_epic &2", "clear_health_status", "clear_weight", "clone group/project --with_notes", "close", "confidential",
    "convert_to_ticket a@example.com", "copy_metadata #2", "create_merge_request fix", "done", "draft", "due tomorrow", "duplicate #2",
    "epic &2", "estimate 1w", "estimate_time 1w", "health_status at_risk", "invite_email a@example.com", "iteration *iteration:2",
    "iteration [cadence:2] --next", "label ~critical", "labels ~critical", "link https://example.com x", "lock", "merge",
    'milestone %"next release"', "move other/project", "page policy", "parent_epic &2", "promote", "promote_to epic",
    "promote_to_incident", "publish", "q dev", "react :tada:", "ready", "reassign @root", "reassign_reviewer @root", "rebase", "relabel ~x",
    "relate #2", "remove_child #2", "remove_contacts [contact:a@example.com]", "remove_due_date", "remove_email a@example.com",
    "remove_epic", "remove_estimate", "remove_iteration", "remove_link #2", "remove_milestone", "remove_parent", "remove_time_spent",
    "remove_zoom", "reopen", "request_changes", "request_review @root", "reviewer @root", "set_parent #2", "severity critical",
    "shrug", "spend 8h", "spend_time 8h", "status done", "submit_review", "subscribe", "tableflip", "tag v1", "target_branch main",
    "timeline began | 2026-11-25", "title owned", "todo", "type incident", "unapprove", "unassign @root", "unassign_reviewer", "unlabel ~x",
    "unlink #2", "unlock", "unsubscribe", "weight 9", "zoom https://zoom.us/j/1",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """One thing GitLab does to text, and texts that ask for it."""

    name: str
    texts: tuple[str, ...]


FORMS = (
    Form("quick action", tuple(f"/{action}" for action in QUICK_ACTIONS)),
    Form("quick action in capitals or with more behind it", ("/CLOSE", "/Label ~x", "/close now", "/close \n/lock", "/label ~a\r\n/assign @root")),
    Form("mention", ("@root", "@all", "@group/sub-group", "ask @root now", "(@root)", "@root.", "@a_b-c.d", "@task", "dag@root")),
    Form("issue", ("#1", "GL-123", "group/project#1", "project#1", "#1+", "#1+s", "[issue:123]", "[issue:group/project/123]", "Closes #1", "fixes #1, #2", "Implements group/project#9")),
    Form("work item and epic", ("[work_item:123]", "[work_item:group/project/1]", "&1", "group&1", "[epic:123]", "[epic:group/sub/1]")),
    Form("merge request", ("!1", "group/project!1", "project!1+")),
    Form("snippet", ("$1", "group/project$1")),
    Form("label", ("~bug", "~1", '~"feature request"', '~"priority::high"', "group/project~bug", "/group/project~bug")),
    Form("milestone", ("%1", "%v1.23", '%"release candidate"', "group/project%1")),
    Form("iteration and cadence", ('*iteration:"next one"', "*iteration:5", "[cadence:123]", '[cadence:"plan a"]')),
    Form("vulnerability, feature flag, alert, contact", ("[vulnerability:1]", "[vulnerability:group/project/1]", "[feature_flag:1]", "^alert#1", "group/project^alert#1", "[contact:a@example.com]")),
    Form("commit", ("9ba12248", "9ba12248...b19a04f5", "group/project@9ba12248", "\u00e99ba12248", "\u65e5\u672c9ba12248", "9ba122485e5b7c4d6b1f8a8f6b8f7f7f7f7f7f7f")),
    Form("project", ("group/project>", "see group/project> now")),
    Form("wiki", ("[[Home]]", "[[How to|how-to]]", "[wiki_page:Home]", "[[_TOC_]]", "[TOC]", "[[image.png]]")),
    Form("another tracker", ("PROJ-123", "T123", "bug 123", "work item 12", "utf-8", "CU-86abc", "ABC_1-2", "x2026-1", "\u00e9bug 12")),
    Form("bare address", ("https://evil.example/x", "http://localhost:3000", "ftp://evil.example/", "smb://evil/x", "irc://evil.example/", "www.evil.example", "\u00e9www.evil.example", "a@evil.example", "https://gitlab.example.com/g/p/-/issues/1", "https://gitlab.example.com/g/p/-/issues/1+s")),
    Form("link", ("[text](https://evil.example)", "[text](javascript:alert(1))", "[a]: https://evil.example\n\n[a]", "[x][a]\n\n[a]: /u", "<https://evil.example>", "<a@evil.example>", "[text](<https://evil.example>)", "[a](../../-/settings)", "[file](doc/README.md#L1)", "[ text ]( https://evil.example/a b )")),
    Form("image, video, sound", ("![x](https://evil.example/p.png)", "![](/uploads/1/a.mp4)", "![v](v.mp3)", "![x](a.png){width=100 height=100px}", '<img src="https://evil.example/p.png">', "![x][i]\n\n[i]: https://evil.example/p.png", "[![x](https://evil.example/p.png)](https://evil.example)")),
    Form("HTML", ("<b>x</b>", "<h1>x</h1>", "<details><summary>x</summary>y</details>", "<script>alert(1)</script>", "<a href='https://evil.example'>x</a>", "<kbd>x</kbd>", "<!-- x -->", "<!-- never closed", "-->", "<pre>", "</pre>", "<table><tr><td>x", "<style>*{display:none}</style>", "<iframe src='https://evil.example'></iframe>", "<br>", "<p>\n/close\n</p>", "<?php x ?>", "<![CDATA[ x ]]>", "&lt;b&gt; &#64;root", "<video src='x.mp4'></video>", "<div align=center>")),
    Form("our own lines forged", ("<!-- airtriage:begin -->", "<!-- airtriage:end -->", "<!-- airtriage:v1 problem=ffffffffffff -->", "<!-- airtriage:end -->\n/close", "<!-- airtriage:begin -->\n<!-- airtriage:v1 problem=ffffffffffff -->\n<!-- airtriage:end -->", "<!-- airtriage:v1 comment=regressed:ffffffffffff -->", "<!--airtriage:end-->", "<!-- airtriage:wrote 00000 -->")),
    Form("front matter", ("---\ntitle: x\n---", "+++\ntitle = 1\n+++", ";;;\n{}\n;;;", "---php\n$x = 1;\n---", "coding: x\n---\na: b\n---")),
    Form("fence", ("```\ncode\n```", "```ruby\ncode", "~~~\ncode\n~~~", "````\n/close\n````", "```\n/close\n```\n/close", "`````\n/close", "\n````\n\n/close\n\n````text\n", " ````\n/close", "   `````````\n/close", "~~~~\n/close", "```suggestion:-0+1\nx\n```")),
    Form("diagram, math block, JSON table", ("```mermaid\ngraph TD; A-->B;\n```", "```plantuml\nBob -> Alice : hello\n```", "```kroki\nx\n```", "```math\na^2\n```", '```json:table\n{"items":[{"a":"#1"}],"markdown":true}\n```', "$$\na^2\n$$", "[plantuml]\n----\nx\n----", "::include{file=../../secrets.md}", "::include{file=https://evil.example/x}")),
    Form("math", ("$`a^2`$", "$a^2$", "$$a^2+b^2$$", "`$`$")),
    Form("quote and alert", (">>>\n/close\n>>>", "\n\n>>>\nquoted\n>>>\n\n", "> quoted", "> [!note]\n> x", ">>> [!warning] x\ny\n>>>", " >>> \n/close\n >>> ")),
    Form("list and task", ("- [ ] task", "- [x] task", "* item", "+ item", "1. item", "1) [ ] task", "[ ] task", "- [~] task")),
    Form("heading and rule", ("# heading", "###### heading", "heading\n===", "heading\n---", "***", "___", "- - -")),
    Form("table", ("| a | b |\n|---|---|\n| 1 | 2 |", "a | b\n--- | ---\n1 | 2", "x | y", "\\| x", "\\\\| x |", "a`|`b", "|\n\n/close\n\n|")),
    Form("emphasis", ("**bold**", "__bold__", "*it*", "_it_", "~~gone~~", "***x***")),
    Form("emoji", (":x:", ":thumbsup:", ":100:", ":+1:", "a:tada:b")),
    Form("inline diff", ("{+ added +}", "{- gone -}", "[+ added +]", "[- gone -]")),
    Form("footnote and definition", ("x[^1]\n\n[^1]: note", "[^1]", "^[inline note]", "Term\n: meaning", "[x]: https://evil.example")),
    Form("colour chip", ("`#F00`", "#F00", "#FF0000AA", "RGB(0,255,0)", "HSL(540,70%,50%)", "rgba(0,255,0,0.3)")),
    Form("placeholder", ("%{project_name}", "%{issue_description}", "%{latest_tag}")),
    Form("backticks that pair with ours", ("`", "``", "a`b", "`a", "a`", "`a`", "```", "` `", "\\`", "a``b`c```d")),
    Form("backslash", ("\\", "\\@root", "x\\", "\\\n/close", "\\`/close\\`", "&#47;close", "\\/close")),
)  # fmt: skip

# What stands around a text, or how its lines are broken. The first two are for every text, six of the others in turn.
DRESSES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("as it is", lambda text: text),
    ("a paragraph of its own", lambda text: f"words\n\n{text}\n\nwords"),
    ("after words", lambda text: f"words {text} words"),
    ("after CRLF", lambda text: f"words\r\n{text}\r\nwords"),
    ("after a lone CR", lambda text: f"words\r{text}"),
    ("after LF and CR", lambda text: f"words\n\r{text}"),
    ("after U+2028", lambda text: f"words\u2028{text}"),
    ("after U+2029", lambda text: f"words\u2029{text}"),
    ("after NEL", lambda text: f"words\x85{text}"),
    ("after a vertical tab", lambda text: f"words\x0b{text}"),
    ("after NUL", lambda text: f"\x00{text}"),
    ("after a zero width space", lambda text: f"\u200b{text}"),
    ("after a word joiner", lambda text: f"words\u2060{text}"),
    ("turned around", lambda text: f"\u202e{text}\u202c"),
    ("behind a colour code", lambda text: f"\x1b[31m{text}\x1b[0m"),
    ("behind a closed fence", lambda text: f"```\nwords\n```\n{text}"),
    ("behind a longer fence", lambda text: f"words\n````\n{text}\n\n`````\n\n{text}"),
    ("behind tildes", lambda text: f"~~~~\n\n{text}"),
    ("behind an indented fence", lambda text: f"   ````\n{text}"),
    ("behind a comment's end", lambda text: f"-->\n\n{text}"),
    ("behind our end", lambda text: f"<!-- airtriage:end -->\n\n{text}"),
    ("behind tags", lambda text: f"</code></pre></details>\n\n{text}"),
    ("between >>>", lambda text: f"\n\n>>>\n{text}\n>>>\n\n"),
    ("indented", lambda text: f"    {text}"),
    ("quoted", lambda text: f"> {text}"),
    ("in a list", lambda text: f"- {text}"),
    ("in a table", lambda text: f"| {text} |\n|---|\n| {text} |"),
    ("behind a backtick", lambda text: f"`{text}"),
    ("behind a bracket", lambda text: f"]({text}) [{text}]"),
    ("behind another alphabet", lambda text: f"\u00e9{text} \u65e5\u672c{text}"),
    ("between our template's marks", lambda text: f"\ufdd1{text}\ufdd0\ufdd0{text}\ufdd1"),
    ("behind a joiner of letters", lambda text: f"words\u200d{text}\ufe0f"),
    ("many times", lambda text: "\n".join([text] * 40)),
)


@dataclass(frozen=True, slots=True)
class Attack:
    """One hostile text: its form, its dress, and the text."""

    form: str
    dress: str
    text: str


def _made() -> tuple[Attack, ...]:
    made, turn = [], 0
    for form in FORMS:
        for text in form.texts:
            rest = [DRESSES[2 + (turn + i) % (len(DRESSES) - 2)] for i in range(6)]
            turn += 6
            made += [Attack(form.name, name, dress(text)) for name, dress in (*DRESSES[:2], *rest)]
    return tuple(made)


ATTACKS = _made()

# Where each of them is put: what of a report is not ours.
PLACES = (
    "title", "evidence", "exception", "dag id", "task id", "run id", "host", "owner", "deployment", "state's reason", "next step",
    "circumstance", "file name", "commit title", "commit author", "merge request title", "other scope", "map label",
)  # fmt: skip
