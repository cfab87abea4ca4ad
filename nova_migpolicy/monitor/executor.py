# SPDX-License-Identifier: Apache-2.0
"""Ask the controller, carry out its decisions action by action, and report the results to it.

The executor survives the controller's errors: a bug of ours must not cost the guest its monitor.
Without a controller it still owes the migration an end: at the deadline, or where an operator's
cancel was refused, an abort that is tried until it works. It also remembers the actions that
cannot be undone: a pause, the start of post-copy, an abort. The loop determines when to ask.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
import dataclasses
from typing import NamedTuple

import libvirt
from oslo_log import log as logging

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import state as state_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)

Decision = controller_mod.Decision
# An abort that meets one of these came before the job, or after it.
NOTHING_TO_END = (exception.JobGone, exception.GuestGone)


class Applied(NamedTuple):
    """The decision, None for none, and the refusal that ended its actions, if any."""

    decision: Decision | None
    error: str = ''


class Executor:
    """The steering of one guest as its controller decides.

    :ivar post_copy: the guest runs on the destination.
    :ivar paused: it was paused for the rest of the transfer.
    :ivar abort_reason: the reason for which libvirt was told to end the job; None if it was not.
    :ivar aborted_s: since when it was told to.
    :ivar aborting: the reason while libvirt is being told.
    """

    def __init__(self, guest: guest_mod.MigratingGuest, controller: controller_mod.Controller,
                 journal: journal_mod.Journal, clock: Callable[[], float],
                 post_copy_started: Callable[[], None]) -> None:
        self._guest = guest
        self._controller = controller
        self._journal = journal
        self._clock = clock
        self._post_copy_started = post_copy_started
        # Until the controller has failed.
        self._steering = True
        # An abort that came before there was a job to end.
        self._cancel: Decision | None = None
        # The error of the last refused abort, and the number of refusals.
        self._abort_error = ''
        self._abort_refusals = 0
        # An abort that is due without the controller, the tries so far, and the time of the next.
        self._owed: Decision | None = None
        self._owed_tries = 0
        self._owed_again_s = 0.0
        self.post_copy = False
        self.paused = False
        self.abort_reason: str | None = None
        self.aborted_s: float | None = None
        self.aborting: str | None = None

    @property
    def ended(self) -> bool:
        """Whether a step has been taken after which there is nothing to abort any more."""
        return self.post_copy or self.abort_reason is not None

    @property
    def cancel_is_due(self) -> bool:
        """Whether an abort came before there was a job to end."""
        return self._cancel is not None

    def take_over(self, done: Iterable[remedies.Action]) -> None:
        """Take note of what was done before this one began, and cannot be undone."""
        for action in done:
            self.paused = self.paused or isinstance(action, remedies.Pause)
            if isinstance(action, remedies.StartPostCopy):
                self._enter_post_copy()

    def decide(self, ask: Callable[[float], Decision | None]) -> Applied:
        """Ask the controller now, and carry out its decision.

        Errors of the controller and refusals of libvirt are survived.
        """
        decision = self._ask(ask)
        return Applied(decision, self.apply(decision))

    def observe(self, sample: samples.Sample) -> Decision | None:
        """Return the decision on a sample; without a controller, an abort may still be owed.

        The caller applies it.
        """
        found = self._ask(lambda _at_s: self._controller.observe(sample))
        at_s, deadline_s = sample.at_s, self._controller.facts.deadline_s
        if self._steering or self.ended:
            return found
        if self._owed is None and deadline_s is not None and at_s >= deadline_s:
            self._owed = Decision(
                at_s, (remedies.Abort(),), vocabulary.ON_TIMEOUT,
                'The deadline has passed, and after an error nothing else can be decided')
        if self._owed is None or at_s < self._owed_again_s:
            return None
        owed = dataclasses.replace(self._owed, at_s=at_s, again=self._owed_tries > 0)
        self._owe(self._owed, at_s)
        return owed

    def do(self, action: remedies.Action, reason: str) -> Applied:
        """Carry out an operator's order while the controller cannot be asked.

        A refused abort is owed from then on.
        """
        at_s = self._clock()
        decision = Decision(at_s, (action,), vocabulary.OPERATOR, reason)
        error = self.apply(decision)
        if error and isinstance(action, remedies.Abort) and not (
                self.cancel_is_due or self.post_copy):
            self._owe(decision, self._clock())
        return Applied(decision, error)

    def apply(self, decision: Decision | None) -> str:
        """Journal a decision and carry it out; returns the refusal, empty where there was none."""
        if decision is None:
            return ''
        if not decision.again:
            self._say(decision)
        for action in decision.actions:
            self.aborting = decision.reason if isinstance(action, remedies.Abort) else None
            try:
                self._apply(action)
            except exception.GuestError as error:
                if not self._happened_all_the_same(action):
                    self._refused(action, decision, error)
                    # The rest was meant to come after this one.
                    return str(error)
            finally:
                self.aborting = None
            self._done(action, decision)
        return ''

    def cancel_again(self) -> None:
        """Retry an abort that came too early; nothing is reported until there is a job."""
        decision = self._cancel
        if decision is None:
            return
        try:
            self._guest.abort()
        except NOTHING_TO_END as error:
            if self._is_in_post_copy():
                self._cancel = None
                self._refused(remedies.Abort(), decision, error)
            return
        except exception.GuestError as error:
            self._cancel = None
            self._refused(remedies.Abort(), decision, error)
        else:
            self._cancel = None
            self._done(remedies.Abort(), decision)

    def survive(self, of_what: str, do: Callable[[], object]) -> None:
        """Do something whose failure must not cost the guest its monitor."""
        try:
            do()
        except Exception as error:
            LOG.exception('The migration goes on after an error of %s', of_what,
                          instance_uuid=self._guest.uuid)
            self._event(f'error of {of_what}: {error}')

    def _ask(self, ask: Callable[[float], Decision | None]) -> Decision | None:
        """The controller's decision; None for none, and for ever once it has failed."""
        if not self._steering:
            return None
        try:
            return ask(self._clock())
        except Exception:
            LOG.exception('The engine failed: this migration is only watched from now on',
                          instance_uuid=self._guest.uuid)
            self._event('the engine failed: only watching from now on')
            self._steering = False
            return None

    def _owe(self, abort: Decision, at_s: float) -> None:
        self._owed = abort
        self._owed_tries += 1
        self._owed_again_s = at_s + state_mod.abort_pause_s(self._owed_tries)

    def _say(self, decision: Decision) -> None:
        LOG.info('Decision %(rule)s: %(reason)s', {
            'rule': decision.rule, 'reason': decision.reason}, instance_uuid=self._guest.uuid)
        self._journal.add(vocabulary.DECISION, decision.at_s, **decision.to_dict())

    def _is_in_post_copy(self) -> bool:
        try:
            found = self._guest.state()
        except exception.GuestError:
            return False
        return (found is not None and found[0] == libvirt.VIR_DOMAIN_PAUSED
                and found[1] in outcome_mod.POST_COPY_REASONS)

    def _apply(self, action: remedies.Action) -> None:
        if (isinstance(action, remedies.SetBandwidth)
                and self._controller.phase is samples.Phase.DISKS):
            # libvirt's own call reaches the memory alone.
            self._guest.set_disk_bandwidth(action.mib_s)
        self._guest.apply(action)

    def _happened_all_the_same(self, action: remedies.Action) -> bool:
        """Whether post-copy runs although the answer to its start was an error, or lost."""
        return isinstance(action, remedies.StartPostCopy) and self._is_in_post_copy()

    def _done(self, action: remedies.Action, decision: Decision) -> None:
        at_s = self._clock()
        self._journal.add(vocabulary.ACTION, at_s, **action.to_dict(), done=True)
        if isinstance(action, remedies.StartPostCopy):
            self._enter_post_copy()
        elif isinstance(action, remedies.Pause):
            self.paused = True
        elif isinstance(action, remedies.Abort):
            self.aborted_s = at_s
            self.abort_reason = decision.reason
            if self._abort_refusals:
                LOG.info('The abort was accepted after %d refusals', self._abort_refusals,
                         instance_uuid=self._guest.uuid)
        self.survive('engine', lambda: self._controller.applied(action, at_s))

    def _refused(self, action: remedies.Action, decision: Decision,
                 error: exception.GuestError) -> None:
        at_s, text = self._clock(), str(error)
        if not isinstance(action, remedies.Abort) or self._is_news(text):
            LOG.warning('%(action)s was refused: %(error)s', {
                'action': action.name, 'error': text}, instance_uuid=self._guest.uuid)
            self._journal.add(vocabulary.ACTION, at_s, **action.to_dict(), done=False, error=text)
        if isinstance(action, remedies.Abort) and isinstance(error, NOTHING_TO_END):
            # libvirt has the same error for an abort without a job and for one in post-copy.
            if not self._is_in_post_copy():
                self._cancel = decision
                return
            if not self.post_copy:
                self._event('post-copy was started by another client of libvirt')
                self._enter_post_copy()
        self.survive('engine', lambda: self._controller.failed(action, at_s, text))

    def _is_news(self, error: str) -> bool:
        """Whether the refusal of an abort is new: the abort is tried again and again."""
        is_news = error != self._abort_error
        self._abort_error = error
        self._abort_refusals += 1
        return is_news

    def _enter_post_copy(self) -> None:
        self.post_copy = True
        self.survive('Nova', self._post_copy_started)

    def _event(self, text: str) -> None:
        self._journal.add(vocabulary.EVENT, self._clock(), text=text)
