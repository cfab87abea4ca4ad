# SPDX-License-Identifier: Apache-2.0
"""Carry out the orders and retunes of operators in the monitor's thread, and answer them.

An answer is given when libvirt has taken the order or refused it, never before. The engine decides
what may be done, and the policy which new values are permitted.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from nova_migpolicy.channel import protocol
from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy import exception
from nova_migpolicy.monitor import executor as executor_mod
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import leaving
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.monitor import retune as retune_mod
from nova_migpolicy.monitor import status as status_mod
from nova_migpolicy import vocabulary

CANCELLED = 'cancelled through the API'
STOPPED = 'nova-compute on the source is being stopped, and [migpolicy] on_shutdown is abort'
ENGINE_FAILED = ('the engine failed in this migration, so it is only watched: cancel it or force '
                 'it to complete; the log of nova-compute has the error')
IN_POST_COPY = ('not possible in the phase post-copy: the server runs at the destination already; '
                'wait until its memory is there')
# The actions for orders where the engine has failed and cannot be asked.
PLAINLY: dict[str, tuple[remedies.Action, str]] = {
    vocabulary.CANCEL: (remedies.Abort(), CANCELLED),
    vocabulary.FORCE_COMPLETE: (remedies.Pause(), 'An operator asked to complete it'),
}

Decide = Callable[[controller_mod.Controller, float, str], controller_mod.Decision]
# The question that each order puts to the engine.
ORDERS: dict[str, Decide] = {
    vocabulary.CANCEL: lambda controller, at_s, why: controller.abort(at_s, why or CANCELLED),
    vocabulary.FORCE_COMPLETE: lambda controller, at_s, why: controller.force_complete(at_s),
    vocabulary.START_POST_COPY: lambda controller, at_s, why: controller.post_copy(at_s),
    vocabulary.PAUSE: lambda controller, at_s, why: controller.pause(at_s),
}
# The caller of these is told the result; the engine retries the others, and takes the next step if
# it must.
TRIED_ONCE = frozenset({vocabulary.START_POST_COPY, vocabulary.PAUSE})


class Commands:
    """The orders and retunes of operators for one migration.

    :ivar in_force: the policy with its origins, and the held and retuned values; any thread may
        read it
    :ivar changed: whether an operator has changed it
    :param phase: returns the current phase, in words
    :param keep: is told the policy in force after each change of an operator's
    """

    def __init__(self, controller: controller_mod.Controller, executor: executor_mod.Executor,
                 journal: journal_mod.Journal, policy_in_force: retune_mod.PolicyInForce, *,
                 clock: Callable[[], float], phase: Callable[[], str],
                 keep: Callable[[Mapping[str, Any]], object] = lambda in_force: None) -> None:
        self._controller = controller
        self._executor = executor
        self._journal = journal
        self._policy_in_force = policy_in_force
        self._clock = clock
        self._phase = phase
        self._keep = keep
        self._cancels: list[inbox_mod.Command] = []
        self._at_the_end: list[inbox_mod.Command] = []
        self._accepted: dict[str, protocol.Answer] = {}
        self._outcome: outcome_mod.Outcome | None = None
        self._is_left = False
        self.in_force = self._policy()
        self.changed = bool(policy_in_force.retuned or controller.held)

    def act(self, item: inbox_mod.Command) -> None:
        """Carry out one of vocabulary.ORDERS; one whose effect is in place is not repeated."""
        name, phase = item.name, self._phase()
        if self._is_done(name):
            item.reply.give(self._accepted[name])
            return
        did = self._executor.decide(lambda at_s: ORDERS[name](self._controller, at_s, item.why))
        once = name in TRIED_ONCE
        if did.decision is None:
            did, once = self._plainly(item), name != vocabulary.CANCEL
        if did.decision is None:
            item.reply.give(protocol.refusal(
                IN_POST_COPY if self._executor.post_copy else ENGINE_FAILED))
        elif did.decision.refused:
            item.reply.give(protocol.refusal(did.decision.reason))
        elif name == vocabulary.CANCEL and self._shows_later(item, did.error):
            pass
        elif name == vocabulary.CANCEL and did.error and self._executor.post_copy:
            item.reply.give(protocol.refusal(f'{name}: {IN_POST_COPY}'))
        elif did.error and once:
            item.reply.give(protocol.refusal(
                f'{name} was refused in the phase {phase}: {did.error}'))
        else:
            again = f'; libvirt refused at first ({did.error}), it will be tried again'
            item.reply.give(self._accept(
                name, phase, did.decision.reason + (again if did.error else '')))

    def _plainly(self, item: inbox_mod.Command) -> executor_mod.Applied:
        """Carry out an order where the engine has failed and cannot be asked."""
        if item.name not in PLAINLY or self._executor.post_copy:
            return executor_mod.Applied(None)
        action, reason = PLAINLY[item.name]
        return self._executor.do(action, item.why or reason)

    def _shows_later(self, item: inbox_mod.Command, error: str) -> bool:
        """Whether a cancel can only be answered later; it is kept until then."""
        if self._executor.cancel_is_due:
            # It shows in a moment whether there will be a job, or was one.
            self._cancels.append(item)
            return True
        if not error and self._phase() == vocabulary.SWITCHOVER:
            # libvirt takes it, but QEMU may have sent everything by then: the end will show.
            self._at_the_end.append(item)
            return True
        return False

    def _is_done(self, name: str) -> bool:
        """Whether an order was accepted and its effect is in place."""
        executor = self._executor
        paused = executor.paused and executor.abort_reason is None
        so = {vocabulary.CANCEL: executor.abort_reason is not None, vocabulary.PAUSE: paused,
              vocabulary.START_POST_COPY: executor.post_copy,
              vocabulary.FORCE_COMPLETE: paused or executor.post_copy}
        return name in self._accepted and so[name]

    def _accept(self, name: str, phase: str, reason: str) -> protocol.Answer:
        """Accept an order: Nova passes on what its API took, and the API's filter asks again."""
        accepted = self._accepted[name] = protocol.Answer(protocol.ACCEPTED, {
            'action': name, 'phase': phase, 'reason': reason})
        return accepted

    def answer_cancels(self) -> None:
        """Answer cancels that came before there was a job to end, once their result is known."""
        if self._executor.cancel_is_due:
            return
        items, self._cancels = self._cancels, []
        for item in items:
            if self._executor.abort_reason is not None:
                item.reply.give(self._accept(item.name, self._phase(), item.why or CANCELLED))
            elif self._executor.post_copy:
                item.reply.give(protocol.refusal(f'{item.name}: {IN_POST_COPY}'))
            else:
                # There is a job now, and libvirt refused.
                self.act(item)

    def end(self, outcome: outcome_mod.Outcome) -> None:
        """Record the end of the migration; from now on `too_late` answers."""
        self._outcome = outcome
        for item in (*self._cancels, *self._at_the_end):
            self.too_late(item)

    def leave(self) -> None:
        """Record that the migration goes on without this process; `too_late` answers from now."""
        self._is_left = True
        for item in (*self._cancels, *self._at_the_end):
            self.too_late(item)

    def too_late(self, item: inbox_mod.Item) -> None:
        """Answer a request that came after the end, also from another thread."""
        if isinstance(item, (inbox_mod.Command, inbox_mod.Retune, inbox_mod.Look)):
            item.reply.give(self._last_word(item))

    def _last_word(self, item: inbox_mod.Request) -> protocol.Answer:
        end = self._outcome
        if self._is_left:
            return protocol.refusal(f'{leaving.LEFT}; ask again then', protocol.UNAVAILABLE)
        if end is not None and end.end is outcome_mod.End.UNDECIDED:
            return protocol.refusal(f'{end.reason}; ask again when that is known',
                                    protocol.UNAVAILABLE)
        if (end is not None and end.end is outcome_mod.End.COMPLETED
                and isinstance(item, inbox_mod.Command) and item.name != vocabulary.CANCEL
                and self._is_done(item.name)):
            return self._accepted[item.name]
        return last_word(item, end, self._phase())

    def retune(self, item: inbox_mod.Retune) -> None:
        """Change the policy, hold settings, release them: all of it or nothing."""
        try:
            proposal = self._policy_in_force.propose(
                item.values, item.release, self._controller.held)
        except exception.PolicyError as error:
            item.reply.give(protocol.refusal(str(error), protocol.BAD_REQUEST))
            return
        did = self._executor.decide(
            lambda at_s: self._controller.retune(proposal.change, at_s))
        if did.decision is None:
            item.reply.give(protocol.refusal(ENGINE_FAILED))
        elif did.decision.refused:
            item.reply.give(protocol.refusal(did.decision.reason))
        elif did.error:
            self._executor.decide(lambda at_s: self._controller.withdraw(proposal.change, at_s))
            now = self._controller.settings
            item.reply.give(protocol.refusal(
                f'It was refused in the phase {self._phase()}: {did.error}. In force are '
                f'bandwidth_mib_s {now.cap_mib_s} and max_downtime_ms {now.promised_ms}'))
        else:
            self._policy_in_force.accept(proposal)
            item.reply.give(protocol.Answer(protocol.OK, self._retuned(item, did.decision)))

    def _retuned(self, item: inbox_mod.Retune,
                 decision: controller_mod.Decision) -> dict[str, Any]:
        now = self.in_force = self._policy()
        self.changed = True
        self._executor.survive('the written record', lambda: self._keep(now))
        self._journal.add(vocabulary.RETUNE, self._clock(), values=dict(item.values),
                          released=list(item.release), **now)
        return {
            'applied': {name: now['held'].get(name, now['policy'].get(name))
                        for name in item.values},
            'released': list(item.release), 'held': now['held'], 'reason': decision.reason,
            'settings': status_mod.settings(self._controller)}

    def _policy(self) -> dict[str, Any]:
        """The policy in force with its origins, as it is returned and journaled."""
        return {**self._policy_in_force.resolved.to_dict(), 'held': dict(self._controller.held),
                'retuned': dict(self._policy_in_force.retuned)}


def last_word(item: inbox_mod.Request, end: outcome_mod.Outcome | None,
              phase: str) -> protocol.Answer:
    """Answer a request that came when the migration was over.

    :param end: None where it is not known yet
    :param phase: to name in an acceptance
    """
    # A cancel whose effect is already in place is accepted, not refused.
    if (end is not None and end.end is outcome_mod.End.CANCELLED
            and isinstance(item, inbox_mod.Command) and item.name == vocabulary.CANCEL):
        return protocol.Answer(protocol.ACCEPTED, {
            'action': item.name, 'phase': phase, 'reason': end.reason})
    return over(end.reason if end is not None else 'it has just ended')


def over(sentence: str) -> protocol.Answer:
    """The answer to a request that comes when there is nothing left to steer."""
    return protocol.refusal(f'Nothing to do, the migration is over: {sentence}')
