"""Where the nodes of the graph as it was emitted are now. Not for: what that means for a layer."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from exporters.convert import Converted
from exporters.emit import NodeOrigin, scopes_of

__all__ = ["Trail"]


@dataclass(frozen=True, slots=True)
class Trail:
    """The way of every node through the optimization.

    Attributes:
        origins: of each emitted node, by its name.
        present: the nodes of the optimized graph, by name.
        modules: those that each of them is of, outermost first.
        rewrites: for each node that was rewritten: the rule, and the nodes it became part of.
    """

    origins: Mapping[str, NodeOrigin]
    present: Mapping[str, ir.Node]
    modules: Mapping[str, tuple[str, ...]]
    rewrites: Mapping[str, tuple[str, tuple[str, ...]]]

    @classmethod
    def of(cls, converted: Converted) -> "Trail":
        """The trail of a conversion."""
        nodes = ir.traversal.RecursiveGraphIterator(converted.model.graph)
        present = {str(node.name): node for node in nodes}
        return cls(
            origins=converted.origins,
            present=present,
            modules={name: scopes_of(node) for name, node in present.items()},
            rewrites={step.node: (step.rule, step.into) for step in converted.rewrites},
        )

    def emitted(self, modules: Collection[str]) -> tuple[str, ...]:
        """The nodes that were emitted for a module (by all its names) and those inside it."""
        return tuple(
            name
            for name, origin in self.origins.items()
            if any(scope in modules for scope in origin.scopes)
        )

    def emitted_directly(self, module: str) -> tuple[str, ...]:
        """The nodes that a module's own ``forward`` emitted."""
        return tuple(n for n, origin in self.origins.items() if module in origin.scopes[-1:])

    def surviving(self, modules: Collection[str]) -> tuple[str, ...]:
        """The nodes of the optimized graph that are of a module and those inside it."""
        return tuple(
            name
            for name, scopes in self.modules.items()
            if any(scope in modules for scope in scopes)
        )

    def working(self, emitted: Iterable[str]) -> dict[str, str | None]:
        """The nodes that do the work of emitted nodes now, in their order.

        Each with the rule that took the work there last, or None where the node is its own.
        """
        return dict(step for name in emitted for step in self._follow(name))

    def operator(self, name: str) -> str:
        """The operator of a node of the optimized graph."""
        return self.present[name].op_type

    def has_constant(self, name: str) -> bool:
        """Whether a node of the optimized graph reads a weight or another constant."""
        return any(
            value is not None and value.is_initializer() for value in self.present[name].inputs
        )

    def scopes(self, name: str) -> tuple[str, ...]:
        """The modules that a node of the optimized graph is of, outermost first."""
        return self.modules[name]

    def said(self, names: Iterable[str]) -> str:
        """Nodes for a person: ``Conv 'layer1.0.conv1/Conv', …``."""
        return ", ".join(f"{self.operator(name)} '{name}'" for name in names)

    def _follow(self, name: str) -> Iterator[tuple[str, str | None]]:
        pending: list[tuple[str, str | None]] = [(name, None)]
        seen: set[str] = set()
        while pending:
            current, rule = pending.pop()
            if current in seen:
                continue
            seen.add(current)
            if current in self.present:
                yield current, rule
            elif current in self.rewrites:
                via, into = self.rewrites[current]
                pending.extend((target, via) for target in into)
