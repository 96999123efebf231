"""The single runs of a repository: assets executed once, and the values that they made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivers._rivers import Plan, Space
from rivers.assets.graph_asset import handler_of_task
from rivers.exceptions import ExecutionError
from rivers.io import InputContext
from rivers.planning import request as submission
from rivers.policies.strategy import BackfillStrategy
from rivers.repository.run_handle import RunHandle
from rivers.repository.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rivers._rivers import Selection
    from rivers.assets.asset_graph import Node
    from rivers.execution.runner import Program
    from rivers.partitions import PartitionKey
    from rivers.status.results import RunResult


class Runs(Runtime):
    """The verbs of a `CodeRepository` that execute assets in one run, without a backfill."""

    def materialize(
        self,
        selection: Sequence[str] | None = None,
        partition_key: PartitionKey | None = None,
        tags: Sequence[tuple[str, str]] | None = None,
        config: Mapping[str, Mapping[str, Any]] | None = None,
        raise_on_error: bool = True,
    ) -> RunResult:
        """Executes assets in one run, and waits for it.

        Args:
            selection: Names of assets; all but external ones by default.
            partition_key: The partition or partitions, for the partitioned ones.
            tags: Attached to the run; `("rivers/priority", "N")` overrides its priority, 0.
            config: Per-asset values of their config models.
            raise_on_error: Whether a failure is raised, or only told in the result.

        Raises:
            ExecutionError: An asset failed (the exception is its cause), or the call is refused.
            AssetNotFoundError: An asset does not exist.
            PartitionValidationError: The key is not one of each partitioned asset's.
            ConfigurationError: `tags` or `config` are not valid.
        """
        key, request_id, program = self._submit_run(selection, partition_key, tags, config)
        self._wait(
            key, request_id, 1, "the run is {0}.0; call materialize() again for what is missing"
        )
        result = RunHandle(self, key, request_id, program).wait()
        if raise_on_error and not result.success:
            raise ExecutionError(result.error or "the run was canceled") from program.first_error
        return result

    def submit(
        self,
        selection: Sequence[str] | None = None,
        partition_key: PartitionKey | None = None,
        tags: Sequence[tuple[str, str]] | None = None,
        config: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> RunHandle:
        """Executes assets in one run, in the background; the arguments are those of `materialize`.

        Returns:
            A handle with `status`, `wait(timeout)` and `cancel()`.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset
            ... def answer() -> int:
            ...     return 42
            >>> with rs.CodeRepository([answer]).resolve(rs.Storage.memory()) as repo:
            ...     repo.submit(["answer"]).wait().success
            True
        """
        return RunHandle(self, *self._submit_run(selection, partition_key, tags, config))

    def _submit_run(
        self,
        selection: Sequence[str] | None,
        partition_key: PartitionKey | None,
        tags: Sequence[tuple[str, str]] | None,
        config: Mapping[str, Mapping[str, Any]] | None,
    ) -> tuple[int, str, Program]:
        nodes = self._graph.runnable()
        if selection is not None:
            nodes = self._graph.to_run(submission.asset_names(selection))
        nodes = self._graph.with_siblings(nodes)
        now = self._clock()
        checked_tags, priority = submission.check_tags(tags, 0)
        # Beside functions that compute it takes long to get on, and to be the first in the queue is no use.
        self.engine.begin_preemption(priority)
        try:
            spaces = [
                (node, self._space(node.definition, now)) for node in nodes if node.definition
            ]
            chosen = _manual_selection(spaces, partition_key)
            submission.check_one_run(self._graph, nodes, chosen, self._spaces_of(now))
            plan = Plan(chosen, BackfillStrategy.single_run())
            ordered = self._graph.in_order(node.name for node in nodes)
            return self._submit(
                ordered, plan, now, config, manual=True, stop_on_failure=False, max_concurrency=1,
                tags=checked_tags, priority=priority,
            )  # fmt: skip
        except BaseException:
            self.engine.end_preemption()
            raise

    def load_node(self, name: str, partition_key: PartitionKey | None = None) -> Any:
        """The value of an asset, through its IO handler.

        Args:
            name: The asset, or a task of a graph asset: `asset/task`.
            partition_key: Its partition; with several, a dict of the values.

        Raises:
            AssetNotFoundError: There is no such asset.
            PartitionValidationError: The key is not one of the asset's.
            ExecutionError: Nothing is stored, or a key is missing or too many.
        """
        name, _, task = name.partition("/")
        node = self._graph[name]
        handler = handler_of_task(node.asset.step, task) if task else self._handler(node)
        keys: list[PartitionKey] = []
        if node.definition is not None:
            space = self._space(node.definition, self._clock())
            keys = _manual_selection([(node, space)], partition_key).keys()
        elif partition_key is not None:
            msg = f"the asset {name!r} is not partitioned, but a partition_key was given"
            raise ExecutionError(msg)
        if task:
            return handler.load_input(InputContext(asset=f"{name}/{task}", partitions=keys))
        context = InputContext(asset=name, partitions=keys, metadata=node.asset.metadata)
        return handler.load_input(context)


def _manual_selection(
    partitioned: list[tuple[Node, Space]], partition_key: PartitionKey | None
) -> Selection:
    """The partitions that a key names, checked for each of the assets."""
    if not partitioned:
        if partition_key is not None:
            msg = "a partition_key was given, but none of the selected assets is partitioned"
            raise ExecutionError(msg)
        return Space.unpartitioned().all()
    first, space = partitioned[0]
    if partition_key is None:
        msg = f"the asset {first.name!r} is partitioned: give a partition_key, or use backfill()"
        raise ExecutionError(msg)
    chosen = space.select_keys([partition_key])
    submission.check_others(chosen, partitioned[1:])
    return chosen
