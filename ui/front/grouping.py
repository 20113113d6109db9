"""The problem page's ways to put a grouping right: merge with a similar problem, split a part off, and undo either.

Owns what is said before (how many tries go where, which GitLab issue will be closed) and after. Foreign names are drawn as
text by our components, or are choices of a list, which Streamlit draws as text too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from triage import merging
from triage.elsewhere import elsewhere
from triage.errors import TriageError
from triage.merging import Person
from triage.mirrors import Mirror, MirrorStatus
from triage.records import Move, MoveKind, Problem, TriageState
from triage.service import ProblemView
from triage.similar import Similar
from ui.format import many, moved, one_line
from ui.front import sheet
from ui.front.components import sheet as show
from ui.front.desk import desk
from ui.front.frame import who

_ANSWER = "grouping_answer"
_CHOICES = 50  # parts offered of a problem; the command line takes any


def also(view: ProblemView) -> list[sheet.Block]:
    """Say in which other scopes the same fails; nothing where it does in none."""
    found = elsewhere(desk().service, view.row.problem, view.fingerprints)
    if not found:
        return []
    runs: list[sheet.Run] = ["Also in "]
    for place, one in enumerate(found[:5]):
        runs += [", "] if place else []
        runs.append(sheet.link(", ".join(one.deployments), f"problem?id={one.problem.id}"))
        runs += [" (", sheet.count(one.total, "failed try", "failed tries"), ", ", sheet.state(one.problem.state), ")"]
    return [sheet.p(*runs, "; what is decided here changes nothing there.", tone="quiet")]


def similar(view: ProblemView, found: Sequence[Similar]) -> None:
    """List similar problems, each with what a merge would do, and the button that does it."""
    show("similar", [sheet.label("Similar problems", "near, not the same; 1 is nearest")])
    for place, one in enumerate(found):
        with st.container(horizontal=True, vertical_alignment="top", key=f"similar-{place}"):
            link = sheet.link(one_line(one.problem.title), f"problem?id={one.problem.id}")
            head = sheet.p(sheet.code(f"{one.score:.2f}"), "  ", link, "  ", sheet.state(one.problem.state))
            show(f"similar_{place}", [head, sheet.p(one_line(one.why), tone="quiet")])
            if one.problem.scope == view.row.problem.scope:
                with st.popover("Merge", key=f"merge-{place}"):
                    _offer(view, one.problem, place)


def _offer(view: ProblemView, other: Problem, place: int) -> None:
    """Say what either way of merging two problems does, each above its button."""
    this, service = view.row.problem, desk().service
    tally = service.store.tally(service.members(other))
    there = tally.occurrences if tally else 0
    for words, source, target, tries in (
        ("Merge this one into it", this, other, view.row.total), ("Merge it into this one", other, this, there),
    ):  # fmt: skip
        is_one, whose = tries == 1, "This one's" if source is this else "Its"
        said: list[sheet.Run] = [f"{whose} {many(tries, 'failed try', 'failed tries')} "]
        if source is this:
            said += ["goes to " if is_one else "go to ", sheet.strong(one_line(target.title, 80))]
        else:
            said.append("comes here" if is_one else "come here")
        show(f"offer_{place}_{source.id}", [sheet.p(*said, f"{_consequences(source, target)}.", tone="quiet")])
        st.button(words, key=f"{words.lower().replace(' ', '-')}-{place}", on_click=_merge, args=(source.id, target.id))


def _consequences(source: Problem, target: Problem) -> str:
    """Name what follows by itself from merging one problem into another."""
    found = desk().service.store.get(Mirror, source.id)
    said = ", and so do new ones"
    if target.state is TriageState.MUTED:
        said += "; it is muted"
    if found and found[0].status is MirrorStatus.LINKED and found[0].is_open:
        said += f"; GitLab #{found[0].iid} will be closed"
    return said


def parts(view: ProblemView) -> None:
    """Offer the problem's DAGs, tasks and fingerprints to be split off, and list what was merged and split, with Undo."""
    if choices := _choices(view):
        with st.expander("Split"):
            show(
                "split",
                [
                    sheet.p(
                        "A part of it is another problem: its failed tries become one, and new ones follow.",
                        tone="quiet",
                    )
                ],
            )
            with st.container(horizontal=True, vertical_alignment="bottom", key="splitting"):
                chosen = st.selectbox("Which failed tries", list(choices), key="part", label_visibility="collapsed")
                st.button("Split off", key="split-off", on_click=_split, args=(view.row.problem.id, choices[chosen]))
    done = merging.in_force(desk().service, view.row.problem)
    if done:
        with st.expander(f"Merged and split ({len(done)})"):
            for move in done[:_CHOICES]:
                with st.container(horizontal=True, vertical_alignment="center", key=f"move-{move.id}"):
                    show(
                        f"moved_{move.id}",
                        [sheet.p(moved(move), " ", sheet.quiet(f"{move.by}, "), sheet.when(move.at))],
                    )
                    st.button("Undo", key=f"undo-{move.id}", on_click=_undo, args=(move,))


def _choices(view: ProblemView) -> dict[str, dict[str, str]]:
    """Return what may be split off, in words, largest part first, each with what `split` is told."""
    service = desk().service
    found: dict[str, tuple[int, dict[str, str]]] = {}

    def add(words: str, count: int, how: dict[str, str]) -> None:
        found[words] = (found.get(words, (0, how))[0] + count, how)

    for part in service.store.summaries(members=service.members(view.row.problem)):
        add(f"fingerprint {part.fingerprint}", part.total, {"fingerprint": part.fingerprint})
        for (dag, task), count in part.tasks.items():
            add(f"DAG {one_line(dag, 80)}", count, {"dag": dag})
            add(f"task {one_line(f'{dag}.{task}', 120)}", count, {"dag": dag, "task": task})
    ranked = sorted(found.items(), key=lambda item: -item[1][0])
    return {
        f"{words} ({many(count, 'try', 'tries')})": how
        for words, (count, how) in ranked[:_CHOICES]
        if count < view.row.total
    }


def answered(view: ProblemView) -> None:
    """Show what the last button here did, with Undo."""
    answer = st.session_state.get(_ANSWER)
    if not answer or view.row.problem.id not in answer["ids"]:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="regrouped"):
        show("regrouping", [sheet.p(answer["said"], tone=answer["tone"])])
        if answer["undo"]:
            st.button("Undo", key="undo-regrouped", on_click=_undo, args=(answer["undo"],))


def at_once(kind: str, ids: list[str], into: str, moves: Mapping[str, str]) -> dict[str, Any]:
    """Merge what was selected in the queue, or part it again (`part`, by the move of each); return what to say, and the undo."""
    service, now, person = desk().service, desk().now(), _person()
    try:
        if kind == "part":
            done = [merging.undo(service, MoveKind.MERGE, id, person, now, moves.get(id, "")) for id in ids]
            return {"said": f"{many(len(done), 'merge')} taken back.", "undo": None, "done": True}
        done = merging.merge(service, ids, person, now, into)
    except TriageError as exc:
        return {"said": str(exc), "undo": None}
    count = many(sum(move.tries for move in done), "failed try", "failed tries")
    said = f"Merged: {count} of {many(len(done), 'problem')} went to {one_line(service.find(done[0].into).title, 80)}."
    made = {move.problem: move.id for move in done}
    return {"said": said, "undo": {"kind": "part", "ids": list(made), "how": {"moves": made}}}


# --- what the buttons do


def _merge(source: str, target: str) -> None:
    def do() -> Iterable[Move]:
        done = merging.merge(desk().service, [source], _person(), desk().now(), target)
        st.query_params["id"] = target
        return done

    _do(do, source, target)


def _split(id: str, how: dict[str, Any]) -> None:
    _do(lambda: [merging.split(desk().service, id, _person(), desk().now(), **how)], id)


def _undo(move: Move) -> None:
    named = move.problem if move.kind is MoveKind.MERGE else move.into
    _do(
        lambda: [merging.undo(desk().service, move.kind, named, _person(), desk().now(), move.id)],
        move.problem,
        move.into,
    )


def _person() -> Person:
    return Person(who(), origin="page")


def _do(do: Callable[[], Iterable[Move]], *ids: str) -> None:
    """Carry out what a button asked for, and leave the answer for the next drawing."""
    try:
        (move,) = do()
    except TriageError as exc:
        st.session_state[_ANSWER] = {"ids": ids, "said": str(exc), "tone": "bad", "undo": None}
        return
    undo = None if move.undone_at else move
    st.session_state[_ANSWER] = {"ids": (move.problem, move.into), "said": moved(move), "tone": "good", "undo": undo}
