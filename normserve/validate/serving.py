"""The check ``as-served`` for the models of one argument: one server process for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from bundle import BundleError, Finding, InputInvalid
from normserve.served import NAME, Item, Server, ServerFailed, check_served, server_of, stage
from normserve.validate.plan import Notes, Plan, Say

__all__ = ["Serving", "serve_together"]


@dataclass(frozen=True, slots=True)
class Serving:
    """A model that is to be served.

    Attributes:
        title: of its target.
        item: where it is, and what it is compared with.
        notes: of its target.
    """

    title: str
    item: Item
    notes: Notes


def serve_together(servings: Sequence[Serving], plan: Plan, say: Say) -> None:
    """Serve them and note what each answers.

    Where the server fails, each that has not been asked gets a server of its own: the one that ends
    it does not stand for the others.

    Side effects: starts server processes, which have ended when this returns.
    """
    pending = list(servings)
    try:
        with (
            stage(serving.item.staged for serving in servings) as repository,
            server_of(repository, policy=plan.policy, threads=plan.threads) as server,
        ):
            while pending:
                say(pending[0].title)
                pending[0].notes.take([_ask(server, pending[0].item)])
                pending.pop(0)
    except ServerFailed as err:
        if len(pending) == 1:
            pending[0].notes.take([_failed(str(err), "read the end of the server's log")])
            return
        for serving in pending:
            serve_together([serving], plan, say)


def _ask(server: Server, item: Item) -> Finding:
    try:
        return check_served(server, item)
    except BundleError as err:
        finding = _failed(f"the check could not be made: {err}", "make the model run")
        unknown = isinstance(err, InputInvalid)  # and there is nothing to ask
        return finding.model_copy(update={"status": "not_applicable"}) if unknown else finding


def _failed(meaning: str, remedy: str) -> Finding:
    return Finding(
        check=NAME, status="fail", measured=None, tolerance=None, meaning=meaning, remedy=remedy
    )
