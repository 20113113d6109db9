"""From a person's text to the tree: the pieces of `scan`, put together by luqum's grammar of Lucene.

luqum sees only the skeleton (brackets, AND, OR, NOT, and a number for each term), so whatever is in a term can neither
break its parser nor be read as syntax. Words side by side mean AND and bind least, as what Lucene requires stays required;
a written AND binds before OR.
"""

from __future__ import annotations

from datetime import datetime

from luqum.thread import parse as luqum_parse
from luqum.tree import (
    AndOperation,
    FieldGroup,
    Group,
    Item,
    Not,
    OrOperation,
    Plus,
    SearchField,
    UnknownOperation,
    Word,
)

from triage.query.scan import DEEPEST, Kind, Piece, Scanner, clean
from triage.query.terms import Terms
from triage.query.tree import EVERYTHING, Both, Either, Never, Query, depth

_ENDS = (Kind.TERM, Kind.CLOSE)
_BEGINS = (Kind.TERM, Kind.OPEN, Kind.FIELD, Kind.NOT, Kind.PLUS)
_WRITTEN = {Kind.OPEN: "(", Kind.CLOSE: ")", Kind.AND: "AND", Kind.OR: "OR", Kind.NOT: "NOT", Kind.PLUS: "+"}


def parse(text: str, now: datetime) -> Query:
    """Parse a person's query; empty or `*` means everything. WrongQuery says what is wrong, or too much for a store."""
    text = clean(text)
    if text.strip() in ("", "*:*"):
        return EVERYTHING
    scanner = Scanner(text)
    pieces = scanner.scan()
    _check(pieces, scanner)
    skeleton = " ".join(_skeleton(piece, place) for place, piece in enumerate(pieces))
    query = _Reader(pieces, scanner, now).read(luqum_parse(skeleton), "")
    if depth(query) > DEEPEST:
        _too_deep(scanner, 0)
    return query


def _skeleton(piece: Piece, place: int) -> str:
    if piece.kind is Kind.TERM:
        return f"t{place}"
    return f"f{place}:" if piece.kind is Kind.FIELD else _WRITTEN[piece.kind]


def _check(pieces: list[Piece], scanner: Scanner) -> None:
    """Refuse brackets and operators that stand where nothing can be read, before luqum does without saying why."""
    opened: list[Piece] = []
    signs = 0
    for before, piece, after in zip([None, *pieces], pieces, [*pieces[1:], None], strict=False):
        signs = signs + 1 if piece.kind is Kind.NOT else 0
        if len(opened) > DEEPEST or signs > DEEPEST:
            _too_deep(scanner, piece.start)
        match piece.kind:
            case Kind.OPEN:
                opened.append(piece)
                if after is not None and after.kind is Kind.CLOSE:
                    scanner.wrong_text("There is nothing in the brackets.", piece.start, after.end, back=True)
            case Kind.CLOSE if not opened:
                scanner.wrong_text("The bracket was never opened.", piece.start, piece.end, back=True)
            case Kind.CLOSE:
                opened.pop()
            case Kind.AND | Kind.OR:
                if before is None or before.kind not in _ENDS or after is None or after.kind not in _BEGINS:
                    _dangling(piece, scanner, "on both sides")
            case Kind.NOT | Kind.PLUS:
                if after is None or after.kind not in _BEGINS:
                    _dangling(piece, scanner, "behind it")
    if opened:
        instead = scanner.text.rstrip() + ")" * len(opened)
        of = 0, len(scanner.text)
        scanner.wrong("The bracket is not closed.", opened[-1].start, opened[-1].end, "", instead, of)


def _dangling(piece: Piece, scanner: Scanner, where: str) -> None:
    word = scanner.text[piece.start : piece.end]
    scanner.wrong(
        f"{word} needs a term {where}.", piece.start, piece.end, f'Write "{word.lower()}" for the word itself.'
    )


def _too_deep(scanner: Scanner, place: int) -> None:
    scanner.wrong("The query is nested too deeply.", place, place + 1, f"Nest at most {DEEPEST} levels.")


class _Reader:
    """Turns luqum's tree of a skeleton into ours."""

    def __init__(self, pieces: list[Piece], scanner: Scanner, now: datetime) -> None:
        self._pieces = pieces
        self._scanner = scanner
        self._terms = Terms(scanner, now)

    def read(self, item: Item, group: str) -> Query:
        match item:
            case SearchField():
                return self.read(item.expr, self._pieces[int(item.name[1:])].field)
            case FieldGroup() | Group():
                return self.read(item.expr, group)
            case Plus():
                return self.read(item.a, group)
            case Not():
                return Never(self.read(item.a, group))
            case OrOperation():
                self._refuse_required(item)
                return Either(tuple(self.read(part, group) for part in item.operands))
            case AndOperation() | UnknownOperation():
                return Both(tuple(self.read(part, group) for part in item.operands))
            case Word():
                return self._terms.read(self._pieces[int(item.value[1:])], group)
        raise AssertionError(f"luqum made {item!r} of a skeleton")

    def _refuse_required(self, item: OrOperation) -> None:
        if any(isinstance(part, Plus) for part in item.operands):
            piece = next(piece for piece in self._pieces if piece.kind is Kind.PLUS)
            what = "What is required (+) cannot be one of several: beside OR the + says two things."
            self._scanner.wrong(what, piece.start, piece.end, "Leave the + out, or put the OR into brackets.")
