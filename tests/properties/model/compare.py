"""Applies to the dictionary what a step did, and compares it with what the process shows."""

from __future__ import annotations

from tests.properties.model.dictionary import ABSENT, Backfill
from tests.properties.model.shown import DisagreementError, check, compare_shown

ENDED = ("completed", "skipped", "failed")


class Comparison:
    """The comparison of one step.

    Args:
        world: The world.
        verb: What the step did.
        subject: The asset and the keys of a report, the id of a backfill, or the planned `Backfill`.
    """

    def __init__(self, world, verb, subject):
        self.world, self.verb, self.subject = world, verb, subject
        self.known, self.graph = world.dictionary, world.graph
        self.called = set()
        self.retried = set()
        self.failed = set()
        self.resolved = set()
        # What was skipped in a run that was never recorded, in which other assets followed.
        self.skipped = set()
        self.executed: dict[str, list] = {}
        self.recorded = lambda name, key: True
        self.lost: dict[str, list] = {}
        self.rows = {}
        self.plan: Backfill | None = None
        if verb in ("rerun", "resume"):
            self._prepare_again()
        elif verb == "backfill":
            self.plan = subject

    # -- what a rerun or a resume has to do --------------------------------------------------------

    def _prepare_again(self):
        """Computes what a rerun or a resume executes, before it does."""
        known, origin = self.known, self.known.backfills[self.subject]
        rows = self.world.rows[self.subject]
        left = ("failed", "canceled") if self.verb == "rerun" else ("pending", "running")
        self.left = {
            name: [key for key in keys if rows.get((name, key)) in left]
            for name, keys in origin.covered.items()
        }
        covered = {
            name: [key for key in keys if key in known.keys(name)]
            for name, keys in self.left.items()
        }
        executed = {
            name: [key for key in keys if not self._is_done(origin, name, key)]
            for name, keys in covered.items()
        }
        self.lost = known.lost_inputs(executed)
        if self.verb == "rerun":
            self.plan = Backfill(
                executed, covered, [self.subject, *origin.origins], self.world.order,
                dict(known.versions), origin.is_grouped,
            )  # fmt: skip
        else:
            self.plan = origin
        self.executed = executed

    def _is_done(self, origin, name, key):
        """Whether the value that a backfill made, or found, can still be loaded."""
        known = self.known
        if not known.is_available(name, key) or not known.is_loadable(name, key):
            return False
        if key not in origin.executed.get(name, ()):
            return True
        chain = [self.subject, *origin.origins] if self.verb == "rerun" else []
        return any((name, key) in known.backfills[each].made for each in chain)

    # -- the check ---------------------------------------------------------------------------------

    def check(self, answer, events, *, is_dead):  # noqa: C901
        """Applies the step, and compares tables, selections and values.

        Raises:
            DisagreementError: They differ.
        """
        seen, result = answer["seen"], answer["result"]
        if self.verb in ("report", "forget"):
            name, keys = self.subject
            if self.verb == "report":
                self.known.report(name, keys, self.world.order)
            else:
                self.known.forget(name, keys)
        elif self.verb == "cancel":
            self.known.backfills[self.subject].ended = True
        elif self.plan is not None and not self._is_refused(result, is_dead=is_dead):
            self._apply(seen, result, events, is_dead=is_dead)
        elif events:
            raise DisagreementError(f"calls of what was refused: {events}")
        for backfill_id, rows in seen["rows"].items():
            self.world.rows[backfill_id] = self._rows(backfill_id, rows)
        if self.verb == "cancel":
            rows = self.world.rows[self.subject]
            for at, status in rows.items():
                if status in ("pending", "running"):
                    rows[at] = "canceled"
        if is_dead:
            self.known.new_process()
        compare_shown(self.world, seen)

    def _is_refused(self, result, *, is_dead):
        refused = result.get("refused") if not is_dead else None
        if self.verb == "resume":
            check(refused is None, "the resume was refused:", result)
            return False
        if self.verb == "rerun":
            was_any = any(self.left.values())
            if was_any and not any(self.plan.covered.values()):
                check(refused or is_dead, "a rerun of keys that are not defined was not refused")
                return True
        made = {(name, key) for name, keys in self.lost.items() for key in keys}
        plan = self.plan
        expected = self.known.missing_inputs(plan.executed, plan.covered, made)
        if expected is not None:
            check(bool(refused) == expected, "refused:", result, "expected:", expected)
        return bool(refused)

    def _apply(self, seen, result, events, *, is_dead):
        backfill_id = self._id(seen, result, is_dead=is_dead)
        known, plan = self.known, self.plan
        if self.verb != "resume":
            self.executed = plan.executed
        begins = [at for at, event in enumerate(events) if self._is_own(event)]
        first = min(begins, default=len(events))
        self._replay_lost(events[:first])
        events = events[first:]
        if backfill_id is None:
            check(not events and is_dead, "calls without a backfill:", events)
            return
        if self.verb != "resume":
            known.backfills[backfill_id] = plan
        else:
            # What was left out at first may be executed now, as its values are gone.
            for name, keys in self.executed.items():
                plan.executed[name] = list(dict.fromkeys([*plan.executed.get(name, ()), *keys]))
        self.rows = self._rows(backfill_id, seen["rows"][backfill_id])
        plan.ended = backfill_id not in seen["interrupted"]
        check(is_dead or plan.ended, "the backfill has not ended")
        covered = {(name, key) for name, keys in plan.covered.items() for key in keys}
        check(set(self.rows) == covered, "partitions:", self.rows, "expected:", covered)
        self.recorded = lambda name, key: self.rows[name, key] in ENDED
        versions = known.versions if self.verb == "resume" else plan.versions
        self.settings = (self.world.order, backfill_id, versions)
        self._replay(events)
        stops = is_dead or self.world.policies.get(backfill_id) == "stop_on_failure"
        for spec in self.graph.assets:
            for key in self.executed.get(spec.name, ()):
                self._settle(spec.name, key, may_be_canceled=stops)

    def _is_own(self, event):
        """Whether an event belongs to the backfill, rather than to the inputs that were made again."""
        if "call" not in event:
            return False
        own = [self.executed.get(name, ()) for name in event["assets"]]
        return all(any(key in keys for keys in own) for key in event["keys"])

    def _id(self, seen, result, *, is_dead):
        if self.verb == "resume":
            return self.subject
        if not is_dead:
            self._remember_policy(result["id"])
            return result["id"]
        new = [each for each in seen["interrupted"] if each not in self.world.interrupted]
        for each in new:
            self._remember_policy(each)
        return new[0] if new else None

    def _remember_policy(self, backfill_id):
        policies = self.world.policies
        if self.verb == "rerun":
            policies[backfill_id] = policies.get(self.subject)
        else:
            policies[backfill_id] = self.world.arguments.get("failure_policy")

    def _replay_lost(self, events):
        """Applies the making again of inputs whose values were gone."""
        if not self.lost:
            check(not events, "unexpected calls:", events)
            return
        own, self.executed = self.executed, self.lost
        self.settings = (self.world.order - 0.5, None, self.known.versions)
        self._replay(events)
        for spec in self.graph.assets:
            for key in self.lost.get(spec.name, ()):
                self.rows[spec.name, key] = "failed"
                if (spec.name, key) not in self.called:
                    self._settle(spec.name, key, may_be_canceled=False)
        self.executed = own
        self.called, self.retried, self.resolved = set(), set(), set()

    def _rows(self, backfill_id, rows):
        """The status of each asset and key of a backfill's table."""
        covered = self.known.backfills[backfill_id].covered
        statuses = {}
        for row in rows:
            alone = [name for name, keys in covered.items() if keys]
            names = row["assets"].split(", ") if "assets" in row else alone
            for name in names:
                key = row["partition"] if self.graph[name].grid != "none" else None
                if key in covered.get(name, ()):
                    statuses[name, key] = row["status"]
                elif "assets" in row:
                    raise DisagreementError(f"{name} {key} is not part of {covered}")
        return statuses

    # -- the calls ---------------------------------------------------------------------------------

    def _replay(self, events):
        calls = {}
        for event in events:
            if "call" in event:
                calls[event["call"]] = self._check_call(event)
            else:
                self._end_call(event, calls[event["end"]])

    def _end_call(self, event, called):
        """Applies what became of the assets and keys of a call; what it made besides is dropped."""
        order, backfill_id, versions = self.settings
        retried = called & {tuple(at) for at in event.get("retried", ())}
        self.called -= retried
        self.retried |= retried
        for at, value in event["values"]:
            if tuple(at) not in called:
                continue
            if self.recorded(*at):
                self.known.make(*at, value, order, backfill_id, versions)
                self._note(backfill_id, *at)
            else:
                self.known.doubt(*at, value)
        for at in called.intersection(map(tuple, event["skipped"])):
            if self.recorded(*at):
                self.known.skip(*at, order, backfill_id, versions)
                self._note(backfill_id, *at)
            else:
                self.skipped.add(at)
        for at in called.intersection(map(tuple, event["failed"])):
            if self.recorded(*at):
                self.known.fail(*at)
                self.resolved.add(at)
            self.failed.add(at)

    def _note(self, backfill_id, name, key):
        self.resolved.add((name, key))
        if backfill_id is not None:
            self.known.backfills[backfill_id].made.add((name, key))

    def _check_call(self, event):
        """Checks the keys and the inputs of a call; returns the assets and keys that it is to make."""
        names, called = event["assets"], set()
        for key in event["keys"]:
            needed = [name for name in names if key in self.executed.get(name, ())]
            check(needed, f"{names} were called for {key}, and need to be for {self.executed}")
            new = {(name, key) for name in needed} - self.called - self.resolved
            check(new, f"{names} were called twice for {key}")
            called |= new
        self.called |= called
        for need in self.graph[names[0]].needs:
            self._check_need(names[0], need, event)
        return called

    def _check_need(self, name, need, event):
        known, up = self.known, self.graph[need.upstream]
        wanted = dict.fromkeys(
            other
            for key in event["keys"]
            for other in self.graph.needed(name, need, key, known.now)
        )
        is_several = self.graph[name].is_several(need, up.grid)
        expected = {}
        for other in wanted:
            self._follow(need.upstream, other)
            is_skipped = (need.upstream, other) in self.skipped
            if is_skipped or known.cell(need.upstream, other).state == "skipped":
                allowed = is_several or need.allow_missing
                check(allowed, f"{name} was called for {event['keys']}, whose {up.name} is skipped")
                expected[other] = {ABSENT, None}
            elif up.handler == "none":
                expected[other] = {None}
            else:
                values = known.values(need.upstream, other)
                if need.allow_missing and (
                    ABSENT in values or not known.is_available(up.name, other)
                ):
                    values = values | {ABSENT, None}
                expected[other] = values
        if not need.is_input:
            return
        given = event["inputs"][need.upstream]
        is_dict = event["dicts"][need.upstream]
        if not self.plan.is_grouped:
            check(is_dict == is_several, f"{name} got {given} of {up.name}")
        if not is_dict:
            given = {str(other): given[""] for other in wanted}
        check(set(given) <= {str(other) for other in wanted}, f"{name} got {given} of {up.name}")
        for other, values in expected.items():
            value = given.get(str(other), ABSENT)
            check(
                value in values,
                f"{name} {event['keys']} got {value} of {up.name} {other}: {values}",
            )

    def _follow(self, name, key):
        """Skips a key that the step executes, if what it needs exactly was skipped."""
        at = (name, key)
        if key not in self.executed.get(name, ()) or at in self.resolved or at in self.called:
            return
        if self._skips(name, key) and self.recorded(name, key):
            self._skip(name, key)

    def _skip(self, name, key):
        order, backfill_id, versions = self.settings
        self.known.skip(name, key, order, backfill_id, versions)
        self._note(backfill_id, name, key)

    def _skips(self, name, key):
        """Whether something that a key needs exactly was skipped."""
        found = False
        for need in self.graph[name].needs:
            if need.allow_missing or need.mapping == "previous":
                continue
            if self.graph[name].is_several(need, self.graph[need.upstream].grid):
                continue
            for other in self.graph.needed(name, need, key, self.known.now):
                self._follow(need.upstream, other)
                is_skipped = self.known.cell(need.upstream, other).state == "skipped"
                found |= is_skipped and (need.upstream, other) not in self.failed
        return found

    def _settle(self, name, key, *, may_be_canceled):
        """Applies what happened to a key without a call."""
        at = (name, key)
        if at in self.called or at in self.resolved:
            return
        status = self.rows[at]
        if status not in ENDED:
            check(may_be_canceled, f"{at} is {status}")
            return
        is_skipped, is_blocked = self._skips(name, key), self._is_blocked(name)
        if is_skipped and is_blocked:
            shown = self.world.shown(name, key)
            is_skipped = shown == "skipped"
        if is_skipped:
            self._skip(name, key)
            return
        # An attempt that fails when its backfill has been stopped is the last one.
        is_last = may_be_canceled and at in self.retried and status == "failed"
        check(is_blocked or is_last, f"{name} was not called for {key}, which is {status}")
        self.known.fail(name, key)
        self.failed.add(at)

    def _is_blocked(self, name):
        """Whether something that an asset needs failed, or cannot be loaded."""
        failed = {asset for asset, _ in self.failed}
        pending = [name]
        while pending:
            spec = self.graph[pending.pop()]
            for need in spec.needs:
                if need.upstream in failed:
                    return True
                if need.is_input and any(
                    ABSENT in self.known.values(need.upstream, key)
                    for key in self.known.keys(need.upstream)
                ):
                    return True
                if need.upstream != spec.name:
                    pending.append(need.upstream)
        return False
