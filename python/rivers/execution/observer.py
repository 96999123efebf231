"""What follows backfills, runs and steps as they are executed, such as OpenTelemetry.

By default nothing does, which costs nothing: `current` is looked at once for each request.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from contextlib import AbstractContextManager

    from rivers._rivers import Engine, Run
    from rivers._storage import BackfillRecord
    from rivers.execution.steps import Step


class RunObserver(Protocol):
    """Follows runs in the process that executes them. It is pickled with their program."""

    def run(self, run: Run, steps: Sequence[Step]) -> AbstractContextManager[None]:
        """What is entered around an attempt of a run."""

    def step(self, step: Step, run: Run) -> AbstractContextManager[None]:
        """What is entered around a step: loading inputs, calling the function, storing its value."""

    def failed(self, step: Step, run: Run, error: BaseException) -> None:
        """Called when a step has failed, whether or not it is tried again.

        It is called outside of the step if a worker process died of it.
        """


@dataclass(frozen=True)
class Observed:
    """What a request executes.

    Attributes:
        assets: Names of the assets.
        num_partitions: Number of partitions.
        num_runs: Number of runs.
        is_manual: Whether it is a manual run and no backfill.
        resumed: The id of the backfill that continues; `None`: it is new.
        traceparent: What `Observation.traceparent` was when the backfill was submitted.
    """

    assets: Sequence[str]
    num_partitions: int
    num_runs: int
    is_manual: bool = False
    resumed: str | None = None
    traceparent: str | None = None


class Observation(Protocol):
    """Follows one backfill or manual run in the process that runs it."""

    @property
    def runs(self) -> RunObserver:
        """What follows its runs."""

    @property
    def traceparent(self) -> str | None:
        """What is stored, for a process that continues it."""

    def started(self, engine: Engine, key: int, backfill_id: str) -> None:
        """Called once it is recorded.

        Args:
            engine: What runs it.
            key: Its number in the storage.
            backfill_id: Its id.
        """

    def refused(self, error: BaseException) -> None:
        """Called if it could not be recorded."""

    def stopped(self, reason: str) -> None:
        """Called when this process stops running it, and another may go on."""

    def ended(self, record: BackfillRecord | None) -> None:
        """Called when it has ended.

        Args:
            record: How it ended; `None` if it was removed meanwhile.
        """


class Observer(Protocol):
    """Follows all backfills and runs of a process."""

    def observe(self, observed: Observed) -> Observation:
        """Called for each request before it is recorded."""


current: Observer | None = None
"""What follows the requests of this process from now on."""


@contextlib.contextmanager
def refusals(observation: Observation | None) -> Generator[None]:
    """Passes on to an observation, if there is one, why its request is refused."""
    try:
        yield
    except BaseException as error:
        if observation is not None:
            observation.refused(error)
        raise
