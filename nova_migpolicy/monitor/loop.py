# SPDX-License-Identifier: Apache-2.0
"""The loop that watches one migration and carries out the engine's decisions.

It wakes for libvirt's events, for requests and for a slow watchdog tick; it
takes a sample, asks the controller, applies the decision and journals it.
It decides nothing itself, and it does not end before the migration has: an
error of libvirt, of the engine or of the journal is recorded and survived.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import datetime
import functools
from typing import Any, Protocol

from oslo_log import log as logging

from nova_migpolicy.channel import protocol
from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine.estimation import passes as passes_mod
from nova_migpolicy.engine.estimation import progress as progress_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy import exception
from nova_migpolicy.monitor import breaking
from nova_migpolicy.monitor import commands
from nova_migpolicy.monitor import disk_caps
from nova_migpolicy.monitor import executor as executor_mod
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import hung
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import leaving
from nova_migpolicy.monitor import neighbours as neighbours_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.monitor import retune as retune_mod
from nova_migpolicy.monitor import sampling
from nova_migpolicy.monitor import status as status_mod
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)

# The watchdog's tick. Passes are sampled by events; this serves links that stand still.
# Each sample costs some ms of CPU here and in libvirtd: see python -m bench cost.
TICK_S = 5.0
# The same where libvirt sends no events.
EVENTLESS_TICK_S = 2.0
# A sample for a due moment, such as a deadline, is taken this long after it.
AFTER_DUE_S = 0.01
# A status is taken again at most this often, however often it is requested.
FRESH_S = 0.5
# An operator's cancel that came before there was a job to end is retried after this.
CANCEL_AGAIN_S = 0.25
# The longest wait for the final statistics after the call has returned.
FINAL_STATS_WAIT_S = 0.5
STILL = 'the link to the destination, over which nothing moves'
BEFORE_MEMORY = (samples.Phase.SETUP, samples.Phase.DISKS)
FAILED = protocol.refusal('The monitor failed at this; the log of nova-compute has the error',
                          protocol.UNAVAILABLE)


def _is_cancel(request: inbox_mod.Request) -> bool:
    return isinstance(request, inbox_mod.Command) and request.name == vocabulary.CANCEL


class Host(Protocol):
    """The part of Nova that the loop needs; none of these raises."""

    def operation_done(self) -> bool:
        """Whether the thread that makes the migrate call is over."""

    def report(self, sample: samples.Sample, percent: int) -> None:
        """Write progress where Nova shows it (at Nova's own pace)."""

    def post_copy_started(self) -> None:
        """Record that the guest now runs on the destination."""

    def policy_changed(self, in_force: Mapping[str, Any]) -> None:
        """Record the policy after an operator's change."""


class Monitor:
    """One migration, from the started operation to its outcome."""

    def __init__(
        self,
        *,
        guest: guest_mod.MigratingGuest,
        controller: controller_mod.Controller,
        progress: progress_mod.Progress,
        inbox: inbox_mod.Inbox,
        journal: journal_mod.Journal,
        call: outcome_mod.MigrateCall,
        policy_in_force: retune_mod.PolicyInForce,
        host: Host,
        sleep: Callable[[float], None],
        has_events: bool = True,
        was_paused: bool = False,
        cap_is_shared: bool = False,
        mirrored_disks: int = 0,
        neighbours: neighbours_mod.Neighbours | None = None,
        ended_outside: Callable[[], str | None] = lambda: None,
        done: Sequence[remedies.Action] = (),
        leave: leaving.Leave | None = None,
        resume_obstacle: Callable[[], str | None] | None = None,
        stay_obstacle: Callable[[], str | None] | None = None,
        flowed: Callable[[], object] = lambda: None,
    ) -> None:
        """Take over a migration whose operation is about to start.

        :param has_events: whether libvirt reports the start of a pass
        :param was_paused: by its user, who alone may let it run again
        :param cap_is_shared: each disk has a share of the cap, and memory would
            begin with that share alone
        :param neighbours: the migrations of this host; None where it is alone
        :param mirrored_disks: the number of disks copied
        :param ended_outside: the reason for ending it past libvirt; None if it was not
        :param done: what was done to it before, and cannot be undone
        :param leave: the word to leave it to libvirt; None where that never comes
        :param resume_obstacle: the reason for which post-copy could not be taken up again; None
            where a post-copy that hangs is only watched
        :param stay_obstacle: asks the destination, where the source alone cannot tell, and returns
            the reason for which the guest may not be taken for the source's; None where nobody
            can be asked
        :param flowed: called as soon as its data flows no more
        """
        self._guest = guest
        self._executor = executor_mod.Executor(
            guest, controller, journal, inbox.clock, host.post_copy_started)
        self._executor.take_over(done)
        self._controller = controller
        self._progress, self._inbox, self._journal = progress, inbox, journal
        self._call, self._host, self._sleep = call, host, sleep
        self._sampler = sampling.Sampler(has_events)
        self._tick_s = TICK_S if has_events else EVENTLESS_TICK_S
        self._was_paused, self._cap_is_shared = was_paused, cap_is_shared
        self._neighbours = neighbours or neighbours_mod.Neighbours()
        self._member: neighbours_mod.Member | None = None
        self._disk_caps = disk_caps.DiskCaps(guest, controller, self._event, mirrored_disks)
        self._ended_outside = ended_outside
        self._leave = leave or leaving.Leave()
        self._breaking = None if resume_obstacle is None else breaking.Breaking(
            guest, resume_obstacle, self._tell)
        self._stay_obstacle = stay_obstacle
        self._flowed = flowed
        self._looked_s = inbox.clock()
        self._passed_s: float | None = None
        self._trouble = ''
        self._waits_for: str | None = None
        self._switched_s: float | None = None
        self._too_late: list[inbox_mod.Item] = []
        self.last_look: samples.Sample | None = None
        self.last_sample: samples.Sample | None = None
        self.ended_s: float | None = None
        # Since when the call is over, and whether it is known where the guest is.
        self._over_s: float | None = None
        self._is_settled = False
        self._started_at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(
            seconds=max(0.0, inbox.clock() - controller.facts.started_s))
        self.commands = commands.Commands(
            controller, self._executor, journal, policy_in_force, clock=inbox.clock,
            phase=lambda: self.phase, keep=host.policy_changed)
        self.view: status_mod.Status = {}
        self.viewed_s = inbox.clock()
        self._publish()
        self.final_stats: dict[str, Any] = {}

    def run(self) -> outcome_mod.Outcome | None:
        """Watch and steer until it is over; return its outcome, or None where it is left."""
        self._member = self._neighbours.join(
            lambda: self._inbox.put(inbox_mod.NeighbourChanged(self._inbox.clock())))
        try:
            while not (self._over() or self._leave.is_given):
                items = self._inbox.wait(self._patience_s())
                self._executor.survive('the monitor', functools.partial(self._round, items))
        finally:
            self._neighbours.leave(self._member)
        outcome = self._settled() if self._over() else None
        if outcome is None:
            self._executor.survive('a command', self._leave_it)
            return None
        self._executor.survive('what its link is free for', self._flowed)
        outcome = self._confirmed(outcome)
        self._is_settled = True
        if self._executor.paused and not self._was_paused and outcome.end in (
                outcome_mod.End.CANCELLED, outcome_mod.End.FAILED):
            outcome = self._resumed(outcome)
        self._executor.survive('a command', functools.partial(self._close, outcome))
        self._executor.survive('the final statistics', functools.partial(
            self._collect_final_stats, outcome))
        return outcome

    def _settled(self) -> outcome_mod.Outcome | None:
        """Wait until it is known how it ended; None where it is left before that."""
        self._over_s = self._inbox.clock()
        self._executor.survive('the monitor', self._publish)
        return outcome_mod.settle(
            self._guest, self._call,
            abort_reason=self._ended_outside() or self._executor.abort_reason,
            may_abort=not self._executor.post_copy, sleep=self._sleep,
            say=lambda why: self._executor.survive(
                'the monitor', functools.partial(self._wait_for_the_end, why)),
            is_left=lambda: self._leave.is_given)

    def _confirmed(self, outcome: outcome_mod.Outcome) -> outcome_mod.Outcome:
        """Return the outcome, or that it is recovery's to find out where the guest runs."""
        if outcome.is_certain or self._stay_obstacle is None:
            return outcome
        self._waits_for = 'the destination, which is asked whether it has the server'
        self._executor.survive('the monitor', self._publish)
        try:
            obstacle = self._stay_obstacle()
        except Exception as error:
            LOG.exception('It is not known where the guest runs', instance_uuid=self._guest.uuid)
            obstacle = f'{type(error).__name__}: {error}'
        if obstacle is None:
            return outcome
        reason = f'{outcome.reason}; where the guest runs is left to recovery: {obstacle}'
        self._tell(reason)
        return outcome_mod.Outcome(outcome_mod.End.UNDECIDED, reason, outcome.error)

    def _leave_it(self) -> None:
        """Write down that it goes on, and let those ask the next nova-compute who wait."""
        LOG.warning('%s', leaving.LEFT, instance_uuid=self._guest.uuid)
        self._event(leaving.LEFT)
        self.commands.leave()
        for item in [*self._too_late, *self._inbox.close()]:
            self.commands.too_late(item)

    def _resumed(self, outcome: outcome_mod.Outcome) -> outcome_mod.Outcome:
        """Let a guest that we paused run again; the outcome says so where it does not."""
        trouble = outcome_mod.resume_if_paused(self._guest)
        if not trouble:
            return outcome
        LOG.error('%s', trouble, instance_uuid=self._guest.uuid)
        self._event(trouble)
        return dataclasses.replace(outcome, reason=f'{outcome.reason}; {trouble}')

    def _patience_s(self) -> float:
        """The seconds to wait for the next item: to the tick, or to a due moment before it."""
        if self._executor.cancel_is_due:
            return CANCEL_AGAIN_S
        now_s = self._inbox.clock()
        due_s = self._controller.next_due_s(now_s)
        return self._tick_s if due_s is None else min(self._tick_s, due_s - now_s + AFTER_DUE_S)

    @property
    def phase(self) -> str:
        """The phase now, in words."""
        return status_mod.phase_of(
            self._controller.phase, switched=self._switched_s is not None,
            ended=self._over() or self.ended_s is not None)

    @property
    def may_begin_again(self) -> bool:
        """Whether no memory has been sent yet and no end is due; any thread may ask."""
        return (self._controller.phase in BEFORE_MEMORY
                and self._switched_s is None and not self._executor.ended
                and not self._executor.cancel_is_due)

    @property
    def _is_gone(self) -> bool:
        """Whether it is over for QEMU, or the guest is not the source's.

        Where its call has failed, as when libvirtd was restarted, QEMU may still be migrating.
        """
        failed = self._call.done and self._call.error is not None
        return self._executor.post_copy or self._is_settled or (self._over() and not failed)

    def switchover(self) -> hung.Switchover | None:
        """The state of its switchover; None where it is over, or the guest is not the source's.

        Any thread may ask: the monitor's own may be waiting for libvirt, even before it has seen
        that the guest was stopped.
        """
        facts, policy = self._controller.facts, self._controller.policy
        if self._is_gone:
            return None
        wanted = self._executor.aborting or self._controller.abort_due
        late = facts.deadline_s is not None and facts.deadline_s <= self._inbox.clock()
        cancel = self._inbox.waiting(inbox_mod.Command(vocabulary.CANCEL))
        if isinstance(cancel, inbox_mod.Command):
            wanted = cancel.why or commands.CANCELLED
        elif wanted is None and self._over():
            wanted = hung.CALL_FAILED
        is_abort = wanted is not None or policy.on_timeout == 'abort'
        if wanted is None and late and policy.on_timeout != 'continue':
            wanted = 'The deadline has passed'
        return hung.Switchover(
            self._switched_s, self._controller.settings.promised_ms / 1000, wanted, is_abort)

    def aborted(self) -> hung.Aborted | None:
        """The abort that libvirt has taken while it is not over; any thread may ask.

        A migration whose call has failed is ended by libvirt itself, as when it was restarted.
        """
        executor = self._executor
        if self._is_gone:
            return None
        if executor.abort_reason is not None and executor.aborted_s is not None:
            return hung.Aborted(
                executor.aborted_s, f'{executor.abort_reason}; libvirt took the abort')
        if self._over_s is not None:
            return hung.Aborted(self._over_s, hung.CALL_FAILED)
        return None

    def _publish(self) -> None:
        """Replace the status, which other threads read."""
        now_s, phase = self._inbox.clock(), self.phase
        if self._executor.abort_reason is not None and phase != vocabulary.FINISHING:
            phase = vocabulary.ABORTING
        self.view = status_mod.of_running(
            self._controller, self.last_look, phase=phase, percent=self._progress.percent,
            at_s=now_s, started_at=self._started_at,
            last_decision=self._journal.latest(vocabulary.DECISION),
            waits_for=self._waits_for or (
                STILL if self._controller.stands_still and not self._over() else None))
        self.viewed_s = now_s

    def _over(self) -> bool:
        # The thread of a call that was left is over, and the call is not.
        return not self._call.is_left and (self._call.done or self._host.operation_done())

    def _round(self, items: list[inbox_mod.Item]) -> None:
        boundary: inbox_mod.PassStarted | None = None
        cancels: list[inbox_mod.Request] = []
        requests: list[inbox_mod.Request] = []
        for item in items:
            if isinstance(item, inbox_mod.PassStarted):
                boundary = item
            elif isinstance(item, inbox_mod.Request):
                (cancels if _is_cancel(item) else requests).append(item)
            else:
                self._happened(item)
        looked = False
        if not self._over():
            self._executor.cancel_again()
            self._executor.survive('a command', self.commands.answer_cancels)
        # Before the sample: the engine's decision on it might be one that a cancel is to prevent.
        self._answer_each(cancels)
        if not self._over():
            looked = self._look_if_due(boundary, requests, wanted=any(
                isinstance(item, inbox_mod.NeighbourChanged) for item in items))
        self._answer_each(requests)
        if self._member is not None:
            self._neighbours.tell(self._member, in_need=self._controller.in_need,
                                  is_urgent=self._controller.is_urgent,
                                  has_given_way=self._controller.has_given_way)
        if looked or not all(isinstance(item, inbox_mod.PassStarted) for item in items):
            self._publish()
        for request in requests:
            if isinstance(request, inbox_mod.Look):
                request.reply.give(protocol.Answer(protocol.OK))

    def _happened(self, event: inbox_mod.Event) -> None:
        if isinstance(event, inbox_mod.JobCompleted):
            self._completed(event)
        elif isinstance(event, inbox_mod.Switchover):
            self._switched_s = event.at_s
            self._executor.survive('engine', functools.partial(
                self._controller.switched_over, event.at_s))
        elif isinstance(event, inbox_mod.DiskReady):
            self._executor.survive('the disks', self._disk_caps.redo)

    def _answer_each(self, requests: list[inbox_mod.Request]) -> None:
        for request in requests:
            if self._over():
                self._too_late.append(request)
            else:
                self._executor.survive('a command', functools.partial(self._answer, request))

    def _look_if_due(self, boundary: inbox_mod.PassStarted | None,
                     requests: list[inbox_mod.Request], *, wanted: bool) -> bool:
        if boundary is not None and self._passed_s is not None and (
                boundary.at_s - self._passed_s < passes_mod.LEAST_GAP_S):
            # Passes of a few ms: looking at each would cost more than it tells.
            boundary = None
        now_s = self._inbox.clock()
        if boundary is None and not wanted and now_s - self._looked_s < self._due_s(requests):
            return False
        # Whatever goes wrong with it, requests are answered.
        self._executor.survive('a look', functools.partial(self._look, boundary, now_s))
        return True

    def _due_s(self, requests: list[inbox_mod.Request]) -> float:
        """The highest age of the last sample: an order is judged by the present phase."""
        if not requests:
            due_s = self._controller.next_due_s(self._looked_s)
            return self._tick_s if due_s is None or due_s > self._inbox.clock() else 0.0
        return FRESH_S if all(isinstance(one, inbox_mod.Look) for one in requests) else 0.0

    def _answer(self, request: inbox_mod.Request) -> None:
        try:
            if isinstance(request, inbox_mod.Command):
                self.commands.act(request)
            elif isinstance(request, inbox_mod.Retune):
                self.commands.retune(request)
        except Exception:
            request.reply.give(FAILED)
            raise

    def _close(self, outcome: outcome_mod.Outcome) -> None:
        self.commands.end(outcome)
        for item in [*self._too_late, *self._inbox.close()]:
            if isinstance(item, inbox_mod.JobCompleted):
                self._completed(item)
            self.commands.too_late(item)

    def _completed(self, item: inbox_mod.JobCompleted) -> None:
        self.final_stats = item.stats
        self.ended_s = item.at_s

    def _look(self, boundary: inbox_mod.PassStarted | None, now_s: float) -> None:
        self._looked_s = now_s
        if boundary is not None:
            self._passed_s = boundary.at_s
        try:
            stats = self._guest.job_stats() or {}
        except exception.GuestError as error:
            self._complain(str(error), f'libvirt, which gives no statistics: {error}')
            stats = {}
        else:
            self._complain('', None)
        if (self._over() or self._inbox.holds(vocabulary.CANCEL)
                or self._ended_outside() is not None):
            # It was ended, or is to be, while libvirt was silent: nothing is to be decided now.
            return
        self._controller.leave_out(self._call.left_out)
        sample = self._sampler.make(stats, boundary, now_s, self._inbox.clock(),
                                    self._executor.post_copy)
        if self._executor.abort_reason is not None and not sample.memory_total_bytes:
            # A job that is being ended has no sizes any more; the last ones stay.
            return
        if self._member is not None:
            seen = self._neighbours.seen_by(self._member)
            sample = dataclasses.replace(sample, others=seen.others, needed_by=seen.needed_by)
        decision = self._executor.observe(sample)
        forecast = self._controller.forecast
        self.last_look = sample
        self._journal.add(vocabulary.SAMPLE, sample.at_s, **sample.to_dict(),
                          forecast=forecast.to_dict() if forecast else None)
        if self._cap_is_shared and self._controller.phase in (
                samples.Phase.BULK, samples.Phase.PASSES):
            self._give_memory_the_whole_cap(sample.at_s)
        self._executor.apply(decision)
        self._executor.survive('the disks', self._disk_caps.redo)
        if sample.memory_remaining_bytes:
            self.last_sample = sample
        if self._breaking is not None and self._executor.post_copy:
            self._executor.survive('breaking off', functools.partial(
                self._breaking.look, sample))
        self._executor.survive('progress', lambda: self._host.report(
            sample, int(self._progress.observe(sample))))

    def _give_memory_the_whole_cap(self, at_s: float) -> None:
        """Give memory the whole cap: libvirt gives it to each disk, so they began with a share."""
        cap_mib_s = self._controller.settings.cap_mib_s
        self._cap_is_shared = bool(self._executor.apply(controller_mod.Decision(
            at_s=at_s, actions=(remedies.SetBandwidth(cap_mib_s),), rule=vocabulary.MEMORY_BEGINS,
            reason=f'the disks are in sync: memory gets the whole {cap_mib_s} MiB/s',
            forecast=None)))

    def _collect_final_stats(self, outcome: outcome_mod.Outcome) -> None:
        if outcome.end is not outcome_mod.End.COMPLETED:
            return
        end_s = self._inbox.clock() + FINAL_STATS_WAIT_S
        while not self.final_stats and self._inbox.clock() < end_s:
            for item in self._inbox.wait(end_s - self._inbox.clock()):
                if isinstance(item, inbox_mod.JobCompleted):
                    self._completed(item)
        if not self.final_stats:
            self.final_stats = self._guest.final_stats()

    def _complain(self, trouble: str, waits_for: str | None) -> None:
        """Report trouble with libvirt once, not at each tick, and the end of it.

        :param trouble: empty where there is none
        :param waits_for: the same for the status
        """
        self._waits_for = waits_for
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            LOG.warning('Trouble with libvirt in this migration: %s', trouble,
                        instance_uuid=self._guest.uuid)
        self._event(trouble or 'libvirt answers again')

    def _wait_for_the_end(self, why: str) -> None:
        """Report the reason for not knowing yet where the guest runs; empty where it is known."""
        self._complain(why, f'knowing where the server runs: {why}' if why else None)
        self._publish()

    def _tell(self, text: str) -> None:
        LOG.warning('%s', text, instance_uuid=self._guest.uuid)
        self._event(text)

    def _event(self, text: str) -> None:
        self._journal.add(vocabulary.EVENT, self._inbox.clock(), text=text)
