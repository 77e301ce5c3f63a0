"""Which versions of a model should be served. Knows no folders and loads nothing.

Source: https://github.com/triton-inference-server/server, docs/user_guide/model_configuration.md,
"Version Policy".
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from service.errors import LoadFailed

__all__ = ["VersionPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPolicy:
    """A rule that chooses among the versions of a model.

    Attributes:
        latest: how many of the highest numbers; 0 for all of them.
        specific: these and no others, whatever `latest` says; also where they are not there.
    """

    latest: int = 1
    specific: tuple[int, ...] = ()

    @classmethod
    def of_setting(cls, choice: Literal["latest", "all"] | int) -> "VersionPolicy":
        """What the server's setting says."""
        if isinstance(choice, int):
            return cls(latest=choice)
        return cls(latest=0 if choice == "all" else 1)

    @classmethod
    def of_config(cls, config: Any) -> "VersionPolicy | None":
        """What a ``ModelConfig`` message says, if it says anything.

        Raises:
            LoadFailed: it wants specific versions and none, or one that no version can be.
        """
        said = config.version_policy.WhichOneof("policy_choice")
        if said is None:
            return None
        if said == "all":
            return cls(latest=0)
        if said == "latest":
            return cls(latest=config.version_policy.latest.num_versions or 1)
        versions = tuple(sorted(set(config.version_policy.specific.versions)))
        if not versions or versions[0] < 1:
            got = ", ".join(map(str, versions)) or "none"
            raise LoadFailed(
                f"version_policy wants specific versions and names {got}; versions are numbers"
                " from 1 on"
            )
        return cls(specific=versions)

    def choose(self, there: Collection[int]) -> tuple[int, ...]:
        """The versions that should be served, by number.

        Args:
            there: the versions that there are.
        """
        if self.specific:
            return self.specific
        return tuple(sorted(there))[-self.latest :]
