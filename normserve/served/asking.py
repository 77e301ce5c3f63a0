"""Ask a server everything by every transport: one question at a time, then from many clients."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from aiohttp import ClientError
from tritonclient.utils import InferenceServerException

from bundle import OutputComparison, compare
from bundle.checks.parity import EXACTLY, worst_of
from normserve.served.questions import Question
from normserve.served.staging import Staged
from normserve.served.transports import TRANSPORTS, Addresses, Clients, Transport, connected

__all__ = ["CLIENTS", "Answer", "ask_everything"]

CLIENTS = 16
_SECONDS = 2.0
"""What the session alone may need for all that is asked at the same time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one question.

    Attributes:
        transport: by which it was asked.
        question: what was asked.
        worst: the output that is furthest from what was expected, bit for bit; None where there is
            no answer.
        got: the outputs, kept only where they are not the expected ones.
        trouble: why there is no answer; empty where there is one.
    """

    transport: str
    question: Question
    worst: OutputComparison | None = None
    got: Mapping[str, np.ndarray] | None = None
    trouble: str = ""


def ask_everything(addresses: Addresses, staged: Staged, asked: Sequence[Question]) -> list[Answer]:
    """All questions by all transports that can carry them, alone, then from 16 clients at a time.

    The clients begin at different questions and different transports, so that requests of several
    sizes are there together.
    """
    return asyncio.run(_ask_everything(addresses, staged, asked))


async def _ask_everything(
    addresses: Addresses, staged: Staged, asked: Sequence[Question]
) -> list[Answer]:
    jobs = [
        (transport, question)
        for question in asked
        for transport in TRANSPORTS
        if not transport.refuses(question)
    ]
    async with connected(addresses, at_once=CLIENTS) as clients:
        answers = [await _ask(clients, staged, *job) for job in jobs]

        async def visit(number: int) -> list[Answer]:
            begin = number % len(jobs)
            turn = (jobs[begin:] + jobs[:begin])[: _each(asked)]
            return [await _ask(clients, staged, *job) for job in turn]

        for visited in await asyncio.gather(*map(visit, range(CLIENTS))):
            answers.extend(visited)
    return answers


def _each(asked: Sequence[Question]) -> int:
    """How many questions each client asks: a slow model is asked fewer, but one at least."""
    mean = sum(question.seconds for question in asked) / len(asked)
    return max(1, min(len(asked), int(_SECONDS / (CLIENTS * mean))))


async def _ask(
    clients: Clients, staged: Staged, transport: Transport, question: Question
) -> Answer:
    try:
        got = await transport.ask(clients, staged.name, staged.version, question)
    except (InferenceServerException, ClientError, TimeoutError) as err:
        return Answer(transport.name, question, trouble=str(err) or type(err).__name__)
    worst = worst_of(compare(question.answer, got, dict.fromkeys(question.answer, EXACTLY)))
    return Answer(transport.name, question, worst, None if worst.passed else got)
