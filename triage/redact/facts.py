"""What of our nouns may hold a secret: the texts of a failed try, of a problem, of its history, of a deployment's health.

Owns which fields those are. Keys (deployment, DAG, run, task) and what is looked up by (owner, tags, queue, pool, host)
stay as they are, and so do fingerprints: redacting again never moves a try to another problem.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from triage.mirrors import Mirror, Tracker
from triage.model import Evidence, Occurrence, Signature
from triage.records import Change, Codeowners, Comparison, Move, Moving, Problem, Record, SavedSearch
from triage.redact import Redactor
from triage.watched import DeploymentHealth, ImportFailure, Trouble, Worker

R = TypeVar("R", bound=Record)


def described(redactor: Redactor, fact: Occurrence) -> Occurrence:
    """Mask what Airflow says of a try, its log and signature aside; the fact itself is returned where nothing changes."""
    said = fact.circumstance
    texts = (said.text if said else "", said.by or "" if said else "", fact.map_label, fact.bundle_url)
    if not any(texts):
        return fact
    masked = redactor.texts(texts)
    if tuple(masked) == texts:
        return fact
    if said is not None:
        said = replace(said, text=masked[0], by=masked[1] or said.by)
    return replace(fact, circumstance=said, map_label=masked[2], bundle_url=masked[3])


def occurrence(redactor: Redactor, fact: Occurrence) -> Occurrence:
    """Mask everything of a try, its kept log included; the fact itself is returned where nothing changes."""
    masked = described(redactor, fact)
    if fact.kept:
        masked = replace(masked, kept=tuple(redactor.lines(fact.kept)))
    if fact.signature:
        masked = replace(masked, signature=_signature(redactor, fact.signature))
    return fact if masked == fact else masked


def _signature(redactor: Redactor, signed: Signature) -> Signature:
    texts = (signed.title, *(one.text for one in signed.evidence), *signed.decisions, *signed.key)
    title, *rest = redactor.texts(texts)
    size = len(signed.evidence)
    decided = size + len(signed.decisions)
    evidence = tuple(Evidence(one.number, text) for one, text in zip(signed.evidence, rest, strict=False))
    exception = redactor.text(signed.exception) if signed.exception else signed.exception
    return replace(
        signed, title=title, exception=exception, evidence=evidence, decisions=tuple(rest[size:decided]),
        key=tuple(rest[decided:]),
    )  # fmt: skip


def record(redactor: Redactor, record: R) -> R:
    """Mask the texts of a record; the record itself is returned where nothing changes."""
    masked: Record = record
    match record:
        case Problem():
            masked = _problem(redactor, record)
        case Change():
            masked = replace(record, why=redactor.text(record.why))
        case Move():
            masked = _move(redactor, record)
        case Moving():
            masked = replace(record, moves=tuple(_move(redactor, move) for move in record.moves))
        case Codeowners():
            masked = replace(record, text=redactor.text(record.text))
        case Comparison():
            good = record.good and replace(record.good, bundle_url=redactor.text(record.good.bundle_url))
            masked = replace(record, said=redactor.text(record.said), good=good)
        case DeploymentHealth():
            troubles = tuple(trouble(redactor, one) for one in record.troubles)
            imports = tuple(_import(redactor, one) for one in record.imports)
            masked = replace(record, troubles=troubles, imports=imports)
        case Worker():
            masked = replace(record, trouble=record.trouble and trouble(redactor, record.trouble))
        case Mirror():
            title, said = redactor.texts((record.title, record.said))
            masked = replace(record, title=title, said=said)
        case Tracker():
            masked = replace(record, troubles=tuple(trouble(redactor, one) for one in record.troubles))
        case SavedSearch():
            name, query = redactor.texts((record.name, record.query))
            masked = replace(record, name=name, query=query)
        case _:
            pass
    return record if masked == record else masked  # type: ignore[return-value]


def _problem(redactor: Redactor, one: Problem) -> Problem:
    told, undo = one.told, one.undo
    texts = (one.title, one.reason, told.why if told else "", undo.reason if undo else "")
    title, reason, why, stood = redactor.texts(texts)
    told, undo = told and replace(told, why=why), undo and replace(undo, reason=stood)
    return replace(one, title=title, reason=reason, told=told, undo=undo)


def _move(redactor: Redactor, one: Move) -> Move:
    why, undone = redactor.texts((one.why, one.undone_why))
    was = one.was and _problem(redactor, one.was)
    return replace(one, why=why, undone_why=undone, other=_problem(redactor, one.other), was=was)


def trouble(redactor: Redactor, one: Trouble) -> Trouble:
    """Mask the secrets of a sentence about what is wrong."""
    return Trouble(*redactor.texts((one.what, one.fix)))


def _import(redactor: Redactor, one: ImportFailure) -> ImportFailure:
    file, trace = redactor.texts((one.file, one.trace))
    return replace(one, file=file, trace=trace)
