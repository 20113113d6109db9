"""Small changes of a module's rules, one at a time: what a test must notice.

Owns which changes there are (comparisons, conditions, constants, alternatives and bounds of regular expressions, members
of word lists) and the making of the changed source. Does not run anything.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_COMPARED: dict[type, type] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_COUNTED: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add}

_GROUP = re.compile(r"\((?:\?(?:[a-zA-Z-]*:|P<\w+>|<?[=!]|>))?")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of a source: the line it stands in, what it is, and how it is made."""

    line: int
    what: str
    node: int
    change: Callable[[ast.AST], None]

    def of(self, source: str) -> str:
        """Return the source with this change."""
        tree = ast.parse(source)
        self.change(next(one for number, one in enumerate(ast.walk(tree)) if number == self.node))
        return ast.unparse(ast.fix_missing_locations(tree))


def mutants(source: str) -> list[Mutant]:
    """Return every change of a module's source."""
    tree = ast.parse(source)
    strings = _rules(tree)
    return [
        Mutant(getattr(node, "lineno", 0), what, at, change)
        for at, node in enumerate(ast.walk(tree))
        for what, change in _changes(node, strings)
    ]


def _rules(tree: ast.AST) -> set[int]:
    """Return the string constants that are patterns, by identity."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "re.compile",
            "re.search",
            "re.match",
            "re.sub",
            "re.split",
            "re.fullmatch",
            "Hinted",
        ):
            found |= {id(one) for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)}
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "_mask" and len(node.args) > 1:
            found |= {id(one) for one in ast.walk(node.args[1]) if isinstance(one, ast.Constant)}
    return found


def _changes(node: ast.AST, strings: set[int]) -> Iterator[tuple[str, Callable[[ast.AST], None]]]:
    if isinstance(node, ast.Compare):
        for at, one in enumerate(node.ops):
            if into := _COMPARED.get(type(one)):
                yield f"{type(one).__name__} -> {into.__name__}", _set("ops", at, into())
    elif isinstance(node, ast.BoolOp):
        into = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield f"{type(node.op).__name__} -> {into.__name__}", lambda one, into=into: setattr(one, "op", into())  # type: ignore[misc]
        for at in range(len(node.values)):
            yield f"operand {at + 1} left out", lambda one, at=at: one.values.pop(at)  # type: ignore[misc,attr-defined]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not left out", lambda one: setattr(one, "operand", ast.UnaryOp(ast.Not(), one.operand))  # type: ignore[attr-defined]
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        for said in (True, False):
            if isinstance(node, ast.While) and said:
                continue  # it would never end
            yield f"condition always {said}", lambda one, said=said: setattr(one, "test", ast.Constant(said))  # type: ignore[misc]
    elif isinstance(node, ast.BinOp) and (into := _COUNTED.get(type(node.op))):
        if not isinstance(node.left, ast.JoinedStr):
            yield f"{type(node.op).__name__} -> {into.__name__}", lambda one, into=into: setattr(one, "op", into())  # type: ignore[misc]
    elif (
        isinstance(node, ast.Set | ast.List)
        and len(node.elts) > 1
        and all(isinstance(one, ast.Constant) for one in node.elts)
    ):
        for at, one in enumerate(node.elts):
            yield f"{one.value!r} left out of a list", lambda one, at=at: one.elts.pop(at)  # type: ignore[misc,attr-defined,union-attr]
    elif isinstance(node, ast.Constant):
        yield from _constants(node, strings)


def _constants(node: ast.Constant, strings: set[int]) -> Iterator[tuple[str, Callable[[ast.AST], None]]]:
    if isinstance(node.value, bool):
        yield f"{node.value} -> {not node.value}", lambda one: setattr(one, "value", not one.value)  # type: ignore[attr-defined]
    elif isinstance(node.value, int):
        yield f"{node.value} -> {node.value + 1}", lambda one: setattr(one, "value", one.value + 1)  # type: ignore[attr-defined]
    elif isinstance(node.value, str) and id(node) in strings:
        for what, text in _patterns(node.value):
            yield what, lambda one, text=text: setattr(one, "value", text)  # type: ignore[misc]


def _patterns(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield the pattern without each of its alternatives in turn, where what is left still is a pattern."""
    for begin, end in _alternatives(pattern):
        left = pattern[:begin] + pattern[end:]
        try:
            re.compile(left)
        except (re.error, OverflowError):
            continue
        yield f"without |{pattern[begin:end].strip('|')[:60]}|", left


def _alternatives(pattern: str) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each alternative, one of its bars included, over all depths of groups."""
    groups: list[list[int]] = [[0]]
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 2
            continue
        if char == "[":
            at = _class_end(pattern, at)
            continue
        if char == "(":
            groups.append([_GROUP.match(pattern, at).end()])  # type: ignore[union-attr]
        elif char == "|":
            groups[-1].append(at + 1)
        elif char == ")" and len(groups) > 1:
            yield from _spans(groups.pop(), at)
        at += 1
    yield from _spans(groups[0], len(pattern))


def _class_end(pattern: str, at: int) -> int:
    at += 2 if pattern[at + 1 : at + 2] == "^" else 1
    first = True
    while at < len(pattern) and (pattern[at] != "]" or first):
        at += 2 if pattern[at] == "\\" else 1
        first = False
    return at + 1


def _spans(starts: list[int], end: int) -> Iterator[tuple[int, int]]:
    if len(starts) < 2:
        return
    for number, start in enumerate(starts):
        last = number == len(starts) - 1
        yield (start - 1, end) if last else (start, starts[number + 1])


def _set(field: str, at: int, into: ast.AST) -> Callable[[ast.AST], None]:
    return lambda one: getattr(one, field).__setitem__(at, into)
