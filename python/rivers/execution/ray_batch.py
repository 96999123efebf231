"""Executes one batch on actors: sends ranges of runs, receives reports, and recovers what is lost."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from ray.exceptions import RayError

from rivers.execution import process_state
from rivers.execution.ray_actor import LostWorkerError

if TYPE_CHECKING:
    from ray import ObjectRef

    from rivers._rivers import Batch
    from rivers.execution.ray_actor import RayActor
    from rivers.execution.ray_losses import Losses
    from rivers.execution.ray_pool import RayPool
    from rivers.execution.ray_programs import LoadedProgram
    from rivers.execution.runner import Program

_log = logging.getLogger("rivers")

_MAX_IN_FLIGHT = 2
"""Number of ranges that an actor has at a time: the next is there when one ends."""
_MAX_RUNS = 4_096
"""Maximum number of runs in a range: the report of more might not travel with the reply."""
_MAX_ATTEMPTS = 5
"""How often in a row an actor may fail to work, for a reason outside of the runs, before that is final."""
_FIRST_DELAY_SECONDS = 0.05
"""Delay before the second of these attempts; each further delay is twice the one before."""


class RayBatch:
    """One batch while it is executed.

    Args:
        batch: The runs.
        program: What executes them.
        loaded: The program as actors read it.
        number: A number that no other batch of this process has.
        losses: The runs that were lost with workers.
        max_deaths: Number of workers that a run may take down.

    Attributes:
        batch: The runs.
        key: The number of the backfill in the storage.
        number: The number of the batch in its streams.
        watch: The batch as the thread sees it that asks for runs.
        actor: The actor that has some of the runs; `None`: none has.
        pool: The pool that the batch takes an actor from.
    """

    def __init__(
        self,
        batch: Batch,
        program: Program,
        loaded: LoadedProgram,
        number: int,
        losses: Losses,
        max_deaths: int,
    ) -> None:
        self.batch = batch
        self.key = batch.key
        self.number = number
        self.watch = batch.watch()
        self.actor: RayActor | None = None
        self.pool: RayPool | None = None
        self._program = program
        self._loaded = loaded
        self._losses = losses
        self._max_deaths = max_deaths
        self._in_flight: deque[tuple[tuple[int, int], ObjectRef[Any]]] = deque()
        self._step = -1
        self._sent_to: tuple[RayActor, int] | None = None
        self._is_asked = False

    def execute_layer(self, pool: RayPool) -> None:
        """Executes runs of the next layer until none is left or may start, or the actor is needed elsewhere.

        Args:
            pool: Where its actors come from.

        Raises:
            Exception: What kept several actors in a row from working.
        """
        self.pool = pool
        failed = 0
        has_lost = False
        while True:
            actor = pool.acquire(
                self.batch.priority, self.watch.has_next, self._on_asked, has_lost=has_lost
            )
            if actor is None:
                return
            self.actor = actor
            try:
                is_spent = self._execute_on(actor)
            except LostWorkerError as error:
                self._discard(pool, actor)
                has_lost = self._recover(error)
                failed = 0
            except Exception as error:
                self._discard(pool, actor)
                self.batch.reclaim()
                failed += 1
                if failed == _MAX_ATTEMPTS:
                    raise
                _log.info("a Ray worker did not work, another one is tried: %r", error)
                time.sleep(_FIRST_DELAY_SECONDS * 2 ** (failed - 1))
            else:
                self.actor = self._sent_to = None
                if is_spent:
                    pool.discard(actor)
                else:
                    pool.release(actor)
                return

    def _on_asked(self) -> None:
        """Gives up the actor after the current run: one that has lost its own needs it sooner."""
        self._is_asked = True
        sent_to = self._sent_to
        if sent_to is not None:
            self.recall(*sent_to, is_forced=True)

    def recall(self, actor: RayActor, stream: int, *, is_forced: bool) -> None:
        """Asks an actor to give up the runs of a stream, for others to execute; does not wait.

        Args:
            actor: The actor that was sent the stream.
            stream: The number of the stream.
            is_forced: Whether to do so even if the current run has not stalled.
        """

        def answered(done: Any) -> None:
            try:
                first = done.result()
            except RayError:
                return  # The worker is lost, and with it all runs that it has.
            self.watch.given_up(stream, first)

        asked = actor.give_up((self.number, stream), is_forced=is_forced)
        asked.future().add_done_callback(answered)

    def _execute_on(self, actor: RayActor) -> bool:
        """Sends runs until none is left; returns whether the actor is to be replaced."""
        self._is_asked = False
        actor.load(self._loaded.number, self._loaded.packed, process_state.capture())
        layer: int | None = None
        is_draining = is_spent = False
        while True:
            while not is_draining and not self._is_asked and len(self._in_flight) < _MAX_IN_FLIGHT:
                following = self.batch.next_unsent()
                if following is None or layer not in {None, following[1]}:
                    break
                layer = following[1]
                if not self._send(actor, following[0]):
                    break
            if not self._in_flight:
                return is_spent
            (first, end), ref = self._in_flight[0]
            self._note_steps(actor, ref)
            outcome = actor.outcome(ref)
            self._in_flight.popleft()
            num_ended = self.batch.receive(outcome.report)
            is_spent |= outcome.is_spent
            self._losses.ended(self.key, first, first + num_ended)
            if num_ended < end - first:
                # The ranges behind it come back as they are; then the rest is sent again.
                is_draining = True
            if not self._in_flight:
                if is_spent:
                    return True
                is_draining = False

    def _send(self, actor: RayActor, first: int) -> bool:
        """Sends the next range, which begins with `first`; returns whether there is one for now."""
        limit = self._losses.limit(self.key, first)
        if limit is not None and self._in_flight:
            return False
        sent = self.batch.send(min(_MAX_RUNS, limit or _MAX_RUNS))
        in_flight = self.batch.in_flight()
        if sent is None or in_flight is None:
            return False
        ref = actor.send(
            f"{self._loaded.title}: runs {sent[0]} to {sent[1] - 1} of {self.batch.backfill_id}",
            self._loaded.number,
            (self.number, in_flight[0]),
            sent,
            self.batch.prior_attempts(),
            process_state.capture(),
            announces_steps=self._announces_steps(sent),
        )
        self._in_flight.append((sent, ref))
        self._sent_to = actor, in_flight[0]
        if self._is_asked:
            self._on_asked()  # The stream may have begun after it was asked.
        return True

    def _announces_steps(self, sent: tuple[int, int]) -> bool:
        """Whether the range is one run that may be the death of its worker."""
        return sent[1] - sent[0] == 1 and self._losses.count(self.key, sent[0]) > 0

    def _note_steps(self, actor: RayActor, ref: ObjectRef[Any]) -> None:
        """Follows the steps of a run that may be the death of its worker."""
        self._step = -1
        if self._announces_steps(self._in_flight[0][0]):
            while (step := actor.next_step(ref, self._step)) is not None:
                self._step = step

    def _discard(self, pool: RayPool, actor: RayActor) -> None:
        self.actor = self._sent_to = None
        self._in_flight.clear()
        pool.discard(actor)

    def _recover(self, error: LostWorkerError) -> bool:
        """Takes back what a worker had that was lost, or fails the one run that it keeps dying of.

        Returns:
            Whether it was lost for the first time: then it hardly is to blame, and is executed at once.
        """
        in_flight = self.batch.in_flight()
        self.batch.reclaim()
        if in_flight is None:
            return False
        _, first, end = in_flight
        deaths = self._losses.add(self.key, first, end)
        _log.info("%s; its runs %d to %d are executed again", error, first, end - 1)
        if end - first > 1 or deaths < self._max_deaths:
            return deaths == 1
        run = next(self.batch, None)
        if run is not None:
            step = self._step if self._step >= 0 else self._program.layers[run.layer][0].index
            self._program.fail_lost(run, step, error)
            self._losses.ended(self.key, first, end)
        return False
