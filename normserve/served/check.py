"""Does a server answer, by every transport and under load, what the model's session answers?

Explained in ``docs/checks/as-served.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bundle import Finding, compare
from bundle.checks import Subject
from bundle.checks.parity import EXACTLY, worst_of
from bundle.checks.rounding import rounding_tolerances
from normserve.served.asking import CLIENTS, Answer, ask_everything
from normserve.served.errors import ServerFailed
from normserve.served.process import Server
from normserve.served.questions import Question, questions
from normserve.served.staging import Staged
from normserve.served.transports import TRANSPORTS

__all__ = ["NAME", "Item", "check_served"]

NAME = "as-served"

_REFUSED = "mend what the reason names; the server is right to refuse"
_REMEDY = "ask the server and a session for the same input and compare; its log has each request"


@dataclass(frozen=True, slots=True)
class Item:
    """A model that is served, and what it is compared with.

    Attributes:
        staged: where it is on the server.
        subject: the same model for a session in this process.
    """

    staged: Staged
    subject: Subject


def check_served(server: Server, item: Item) -> Finding:
    """Ask a model everything by every transport, alone and from 16 clients at a time.

    Raises:
        ServerFailed: the server ended.
        BundleError: the session in this process cannot be opened or run.
    """
    where = (item.staged.name, item.staged.version)
    state, reason = server.states({where})[where]
    if state != "READY":
        # where the model lies is known to nobody under the name that the server has for it
        reason = reason.replace(
            str(server.repository / item.staged.folder), str(item.staged.source)
        )
        return _failed(f"the server does not serve it: {reason or state}", _REFUSED)
    asked = questions(item.subject, item.subject.open())
    answers = ask_everything(server.addresses, item.staged, asked)
    if not server.is_running:
        raise ServerFailed(
            f"the server ended while it was asked; the end of its log: {server.tail()}"
        )
    return _judge(item.subject, answers, asked)


def _judge(subject: Subject, answers: Sequence[Answer], asked: Sequence[Question]) -> Finding:
    troubled = next((answer for answer in answers if answer.trouble), None)
    if troubled is not None:
        return _failed(f"{troubled.transport} was refused: {troubled.trouble}", _REMEDY)
    worst = worst_of([answer.worst for answer in answers if answer.worst is not None])
    if worst.passed:
        return Finding(
            check=NAME,
            status="pass",
            measured=worst.max_abs_error,
            tolerance=EXACTLY,
            meaning=f"{len(answers)} answers over {_ways(asked)}, alone and to {CLIENTS} clients at"
            " a time, are the session's bit for bit",
        )
    return _judge_difference(subject, answers, asked)


def _judge_difference(
    subject: Subject, answers: Sequence[Answer], asked: Sequence[Question]
) -> Finding:
    tolerances = rounding_tolerances(
        subject, [question.feeds for question in asked], [question.answer for question in asked]
    )
    differing = [answer for answer in answers if answer.got is not None]
    transports = " and ".join(dict.fromkeys(answer.transport for answer in differing))
    worst = worst_of(
        [
            comparison
            for answer in differing
            for comparison in compare(answer.question.answer, answer.got or {}, tolerances)
        ]
    )
    said = f"{len(differing)} of {len(answers)} answers, over {transports}, are not the session's"
    return Finding(
        check=NAME,
        status="warn" if worst.passed else "fail",
        measured=worst.max_abs_error,
        tolerance=worst.tolerance,
        meaning=f"{said}, by rounding at most: the server runs the model in other batches, or on"
        " other kernels, than the session"
        if worst.passed
        else f"{said}: {worst.reason}",
        remedy=_REMEDY,
    )


def _ways(asked: Sequence[Question]) -> str:
    """The transports, with what one of them cannot carry."""
    ways = []
    for transport in TRANSPORTS:
        refused = next(filter(None, map(transport.refuses, asked)), "")
        ways.append(f"{transport.name} (not where {refused})" if refused else transport.name)
    return " and ".join(ways)


def _failed(meaning: str, remedy: str) -> Finding:
    return Finding(
        check=NAME, status="fail", measured=None, tolerance=None, meaning=meaning, remedy=remedy
    )
