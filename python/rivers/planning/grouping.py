"""How the partitions of a backfill are grouped into runs, and in which order the runs come."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rivers.policies.strategy import BackfillStrategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rivers._rivers import Selection
    from rivers.assets.asset_graph import Node
    from rivers.planning.request import Order

_log = logging.getLogger("rivers")


def choose_strategy(given: BackfillStrategy | None, nodes: Sequence[Node]) -> BackfillStrategy:
    """The strategy of assets that share runs.

    Returns:
        `given`; without it the strategy that the assets declare, if those that declare one agree;
        otherwise one run per partition.
    """
    if given is not None:
        return given
    declared = {
        node.asset.backfill_strategy: node.name
        for node in nodes
        if node.asset.backfill_strategy is not None
    }
    if len(declared) > 1:
        by_asset = ", ".join(f"{name!r}: {strategy}" for strategy, name in declared.items())
        _log.warning(
            "the selected assets declare different strategies (%s); each partition gets a run of its "
            "own, pass strategy= to say otherwise",
            by_asset,
        )
        return BackfillStrategy.multi_run()
    return next(iter(declared), BackfillStrategy.multi_run())


def in_order(selection: Selection, order: Order) -> Selection:
    """The same partitions in the order of `BackfillRequest.order`.

    Raises:
        ConfigurationError: `order` names a dimension that does not exist.
    """
    if order == "definition":
        return selection
    if order == "reverse":
        return selection.reversed()
    return selection.arranged(list(order))
