# SPDX-License-Identifier: Apache-2.0
"""Carries out what persons ask of a running migration, in its monitor's thread, and answers.

An answer is given when libvirt has taken the command or refused it, never before. What may be
done is the engine's decision; what a new value may be is the policy's.
"""

from __future__ import annotations

from collections.abc import Callable
import functools
from typing import Any

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy import exception
from nova_migpolicy.monitor import actor as actor_mod
from nova_migpolicy.monitor import answer
from nova_migpolicy.monitor import inbox
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import tuning as tuning_mod

CANCELLED = 'cancelled through the API'
ENGINE_FAILED = ('the engine failed in this migration, so it is only watched: cancel it or force '
                 'it to complete; the log of nova-compute has the error')
# What is done where the engine has failed and cannot be asked.
PLAINLY: dict[str, tuple[remedies.Action, str]] = {
    inbox.CANCEL: (remedies.Abort(), CANCELLED),
    inbox.FORCE_COMPLETE: (remedies.Pause(), 'A person asked to complete it'),
}

Decide = Callable[[float], controller_mod.Decision | None]


class Commands:
    """The hands of persons on one migration.

    :param ask: calls the engine with the time, and survives its errors
    :param phase: the phase now, in words
    """

    def __init__(
        self,
        controller: controller_mod.Controller,
        actor: actor_mod.Actor,
        journal: journal_mod.Journal,
        tuning: tuning_mod.Tuning,
        *,
        clock: Callable[[], float],
        ask: Callable[[Decide], controller_mod.Decision | None],
        phase: Callable[[], str],
    ) -> None:
        self._controller = controller
        self._actor = actor
        self._journal = journal
        self._tuning = tuning
        self._clock = clock
        self._ask = ask
        self._phase = phase
        self._cancels: list[answer.Reply] = []
        self._accepted: dict[str, answer.Answer] = {}

    def act(self, item: inbox.Command) -> None:
        """Do one of inbox.COMMANDS; what was accepted before is, and is not done twice."""
        if item.name in self._accepted:
            item.reply.give(self._accepted[item.name])
            return
        phase = self._phase()
        decision = self._ask(functools.partial(self._decide, item.name))
        if decision is None:
            if item.name not in PLAINLY or self._actor.post_copy:
                item.reply.give(answer.refusal(ENGINE_FAILED))
                return
            action, reason = PLAINLY[item.name]
            decision = controller_mod.Decision(self._clock(), (action,), 'operator', reason)
        error = self._actor.apply(decision)
        if decision.refused:
            item.reply.give(answer.refusal(decision.reason))
        elif self._actor.cancel_is_due and item.name == inbox.CANCEL:
            # Whether there will be a job, or there was one, shows in a moment.
            self._cancels.append(item.reply)
        elif error and item.name in (inbox.POST_COPY, inbox.PAUSE):
            item.reply.give(answer.refusal(
                f'{item.name} was refused in the phase {phase}: {error}'))
        else:
            # The engine does that again, and takes the next way if it must.
            again = f'; libvirt refused at first ({error}), it will be tried again'
            item.reply.give(self._accept(
                item.name, phase, decision.reason + (again if error else '')))

    def _accept(self, name: str, phase: str, reason: str) -> answer.Answer:
        """Nova passes on what its API took; the API's filter asks for the same once more."""
        accepted = self._accepted[name] = answer.Answer(answer.ACCEPTED, {
            'action': name, 'phase': phase, 'reason': reason})
        return accepted

    def _decide(self, name: str, at_s: float) -> controller_mod.Decision:
        if name == inbox.CANCEL:
            return self._controller.abort(at_s, CANCELLED)
        decision: controller_mod.Decision = getattr(self._controller, name)(at_s)
        return decision

    def answer_cancels(self) -> None:
        """Answer those whose cancel came before there was a job to end, if it is clear now."""
        if self._cancels and self._actor.abort_reason is not None:
            self._give_cancels(self._accept(inbox.CANCEL, self._phase(), CANCELLED))

    def end(self, left: list[inbox.Item], sentence: str, *, cancelled: bool) -> None:
        """It is over: answer all who still wait.

        :param left: what came too late
        :param sentence: how it ended
        """
        no = answer.refusal(f'Nothing to do, the migration is over: {sentence}')
        self._give_cancels(no if not cancelled else answer.Answer(answer.ACCEPTED, {
            'action': inbox.CANCEL, 'phase': self._phase(), 'reason': sentence}))
        for item in left:
            if isinstance(item, (inbox.Command, inbox.Tune, inbox.Look)):
                item.reply.give(no)

    def _give_cancels(self, given: answer.Answer) -> None:
        for reply in self._cancels:
            reply.give(given)
        self._cancels.clear()

    def tune(self, item: inbox.Tune) -> None:
        """Change the policy, hold settings, release them: all of it or nothing."""
        try:
            proposal = self._tuning.propose(item.values, item.release, self._controller.held)
        except exception.PolicyError as error:
            item.reply.give(answer.refusal(str(error), answer.BAD_REQUEST))
            return
        decision = self._ask(lambda at_s: self._controller.tune(proposal.change, at_s))
        if decision is None:
            item.reply.give(answer.refusal(ENGINE_FAILED))
            return
        refused = self._actor.apply(decision)
        if decision.refused:
            item.reply.give(answer.refusal(decision.reason))
        elif refused:
            self._actor.apply(self._ask(
                lambda at_s: self._controller.withdraw(proposal.change, at_s)))
            now = self._controller.settings
            item.reply.give(answer.refusal(
                f'It was refused in the phase {self._phase()}: {refused}. In force are '
                f'bandwidth_mib_s {now.cap_mib_s} and max_downtime_ms {now.promised_ms}'))
        else:
            self._tuning.accept(proposal)
            item.reply.give(answer.Answer(answer.OK, self._tuned(item, decision)))

    def _tuned(self, item: inbox.Tune, decision: controller_mod.Decision) -> dict[str, Any]:
        held = dict(self._controller.held)
        resolved = self._tuning.resolved.to_dict()
        self._journal.add('retune', self._clock(), values=dict(item.values),
                          released=list(item.release), held=held,
                          retuned=dict(self._tuning.retuned), **resolved)
        settings = self._controller.settings
        fields = resolved['policy']
        assert isinstance(fields, dict)
        return {
            'applied': {name: held.get(name, fields.get(name)) for name in item.values},
            'released': list(item.release), 'held': held, 'reason': decision.reason,
            'settings': {'bandwidth_mib_s': settings.cap_mib_s,
                         'max_downtime_ms': settings.promised_ms,
                         'qemu_limit_ms': settings.limit_ms,
                         'max_throttle_percent': self._controller.policy.max_throttle_percent}}
