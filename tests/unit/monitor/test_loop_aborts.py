# SPDX-License-Identifier: Apache-2.0
"""An abort that libvirt refuses is tried until it works, also without the engine."""

from __future__ import annotations

import itertools

import libvirt
import testtools

from nova_migpolicy.channel import protocol
from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine.estimation import progress as progress_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import loop
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.policy import keys
from nova_migpolicy import vocabulary
from tests.unit.monitor import fakes
from tests.unit.monitor import scripted

BUSY = fakes.error(libvirt.VIR_ERR_OPERATION_TIMEOUT, 'cannot acquire state change lock')
OTHER = fakes.error(libvirt.VIR_ERR_RPC, 'no connection')


class Failing(scripted.Controller):
    """An engine with a fault, and a deadline 3 s after the start."""

    def __init__(self, left_s=3.0):
        super().__init__([scripted.decide(remedies.Pause()), ValueError('a bug')])
        self.facts.deadline_s = fakes.Clock()() + left_s


class AbortsTest(testtools.TestCase):

    def run_loop(self, controller, answers, rounds):
        """Run a monitor; the times of the aborts, and what libvirt answers to each in turn."""
        self.clock = fakes.Clock()
        self.tries = []
        left = list(answers)

        def abort():
            self.tries.append(self.clock())
            if left:
                return left.pop(0)
            # The call returns, and the job is over.
            call.error, call.done = scripted.ABORTED, True
            domain.answers['jobStats'] = {'type': libvirt.VIR_DOMAIN_JOB_NONE}
            return None
        domain = fakes.Domain(jobStats=scripted.RUNNING_JOB, abortJob=abort)
        call = outcome_mod.MigrateCall(started=True)
        self.journal = journal_mod.Journal(None, self.clock(), 0)
        monitor = loop.Monitor(
            guest=guest_mod.MigratingGuest(domain, clock=self.clock), controller=controller,
            progress=progress_mod.Progress(1 << 30, 0),
            inbox=scripted.Script(self.clock, call, rounds), journal=self.journal, call=call,
            policy_in_force=scripted.no_retune(), host=scripted.Host(), sleep=self.clock.sleep)
        ended = monitor.run()
        self.domain = domain
        return ended

    def kinds(self, kind):
        return [r for r in self.journal.records() if r['kind'] == kind]

    def controller(self, left_s=3.0):
        now_s = fakes.Clock()()
        return controller_mod.Controller(keys.Policy(on_timeout='abort'), controller_mod.Facts(
            1 << 30, 0, now_s, deadline_s=now_s + left_s))

    def assert_pauses(self, *expected):
        pauses = [after - before for before, after in itertools.pairwise(self.tries)]
        self.assertEqual(len(expected), len(pauses), pauses)
        for pause, one in zip(expected, pauses, strict=True):
            self.assertTrue(0 <= one - pause < 0.1, pauses)

    def test_by_the_engine(self):
        ended = self.run_loop(self.controller(), [BUSY] * 4, [[]] * 60)
        self.assertIs(outcome_mod.End.CANCELLED, ended.end)
        self.assertIn('The deadline of 3.0 s has passed', ended.reason)
        self.assert_pauses(1, 5, 30, 30)
        # Of its statistics, which do not change, more is said.
        self.assertEqual(1, [one['rule'] for one in self.kinds('decision')].count('on_timeout'))
        self.assertEqual([False, True], [one['done'] for one in self.kinds('action')])

    def test_another_error_is_said_too(self):
        self.run_loop(self.controller(), [BUSY, BUSY, OTHER, OTHER, BUSY], [[]] * 80)
        said = [one['error'] for one in self.kinds('action') if not one['done']]
        self.assertEqual(['abortJob: cannot acquire state change lock', 'abortJob: no connection',
                          'abortJob: cannot acquire state change lock'], said)

    def test_by_the_monitor_alone_also_of_a_paused_guest(self):
        ended = self.run_loop(Failing(), [BUSY] * 4, [[]] * 60)
        self.assertIs(outcome_mod.End.CANCELLED, ended.end)
        self.assertEqual(1, len(self.domain.called('suspend')))
        self.assertEqual(5, len(self.tries))
        self.assertEqual(2, len(self.kinds('decision')))
        self.assertEqual([True, False, True], [one['done'] for one in self.kinds('action')])

    def test_for_an_operator_without_the_engine(self):
        command = inbox_mod.Command(vocabulary.CANCEL)
        ended = self.run_loop(Failing(left_s=9000.0), [BUSY] * 3, [[], [], [command]] + [[]] * 60)
        self.assertIs(outcome_mod.End.CANCELLED, ended.end)
        self.assertIn('cancelled through the API', ended.reason)
        told = command.reply.wait(0)
        self.assertEqual(protocol.ACCEPTED, told.status)
        self.assertIn('it will be tried again', told.body['reason'])
        self.assertEqual(4, len(self.tries))
        self.assertEqual([True, False, True], [one['done'] for one in self.kinds('action')])
