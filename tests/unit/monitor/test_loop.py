# SPDX-License-Identifier: Apache-2.0
"""The monitor outlives every error, and does what is decided in the order of the decision."""

from __future__ import annotations

import dataclasses
import types
from unittest import mock

import libvirt
import testtools

from nova_migpolicy.channel import protocol
from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine.estimation import progress as progress_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import leaving
from nova_migpolicy.monitor import loop
from nova_migpolicy.monitor import neighbours as neighbours_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.policy import keys
from nova_migpolicy import vocabulary
from tests.unit.monitor import fakes
from tests.unit.monitor import scripted


class LoopTest(testtools.TestCase):

    def run_loop(self, domain, controller, rounds, error=None, shared=False, too_late=(),
                 was_paused=False, neighbours=None, outside=None, leave=None, obstacle=None,
                 flowed=lambda: None):
        self.clock = fakes.Clock()
        self.call = outcome_mod.MigrateCall(started=True)
        self.host = scripted.Host()
        self.journal = journal_mod.Journal(None, self.clock(), 0)
        self.monitor = loop.Monitor(
            guest=guest_mod.MigratingGuest(domain, clock=self.clock), controller=controller,
            progress=progress_mod.Progress(1 << 30, 0),
            inbox=scripted.Script(self.clock, self.call, rounds, error, too_late),
            journal=self.journal,
            call=self.call, policy_in_force=scripted.no_retune(), host=self.host,
            sleep=self.clock.sleep,
            cap_is_shared=shared, was_paused=was_paused, neighbours=neighbours,
            ended_outside=lambda: outside, leave=leave, stay_obstacle=obstacle,
            flowed=flowed)
        return self.monitor.run()

    def kinds(self, kind):
        return [r for r in self.journal.records() if r['kind'] == kind]

    def test_actions_in_order_and_applied(self):
        domain = fakes.Domain(jobStats=scripted.RUNNING_JOB)
        actions = (remedies.SetMaxDowntime(100, 90), remedies.SetBandwidth(50))
        controller = scripted.Controller([scripted.decide(*actions)])
        ended = self.run_loop(domain, controller, [[]])
        self.assertIs(outcome_mod.End.COMPLETED, ended.end)
        self.assertEqual([('applied', a) for a in actions],
                         [h for h in controller.heard if h[0] == 'applied'])
        self.assertEqual([True, True], [r['done'] for r in self.kinds('action')])

    def test_its_neighbours_are_seen_and_told(self):
        host, woken = neighbours_mod.Neighbours(), []
        other = host.join(lambda: woken.append(host.seen_by(other)))
        controller = scripted.Controller()
        controller.in_need = True
        domain = fakes.Domain(jobStats=scripted.RUNNING_JOB)
        self.run_loop(domain, controller, [[]], neighbours=host)
        # In need while it is there, and gone at its end, which those that waited have to know.
        self.assertEqual([neighbours_mod.Seen(1, 0), neighbours_mod.Seen(0, 0)], woken)
        [sample] = [said for name, said in controller.heard if name == 'observe']
        self.assertEqual((1, 0), (sample.others, sample.needed_by))

    def test_they_are_told_at_once_what_an_order_has_changed(self):
        host, woken = neighbours_mod.Neighbours(), []
        other = host.join(lambda: woken.append(host.seen_by(other)))
        controller = scripted.Controller()

        def force_complete(at_s):
            controller.in_need = True
            return scripted.decide(remedies.Pause())
        controller.force_complete = force_complete
        answers = []
        order = inbox_mod.Command(vocabulary.FORCE_COMPLETE)
        domain = fakes.Domain(jobStats=lambda: answers.append(len(woken)) or scripted.RUNNING_JOB)
        self.run_loop(domain, controller, [[order], []], neighbours=host)
        # Before the look after it.
        self.assertEqual([0, 1], answers[:2])

    def test_nothing_is_decided_once_it_was_ended_past_libvirt(self):
        for outside, looks in ((None, 1), ('its connection was closed', 0)):
            controller = scripted.Controller()
            self.run_loop(fakes.Domain(jobStats=scripted.RUNNING_JOB), controller, [[]],
                          outside=outside)
            self.assertEqual(looks, [name for name, _ in controller.heard].count('observe'))

    def test_a_sample_says_how_long_libvirt_took(self):
        told_s = []

        def late(*_):
            self.clock.sleep(0.7)
            told_s.append(self.clock())
            return scripted.RUNNING_JOB

        controller = scripted.Controller()
        self.run_loop(fakes.Domain(jobStats=late), controller, [[]])
        [sample] = [said for name, said in controller.heard if name == 'observe']
        self.assertAlmostEqual(0.7, sample.took_s)
        self.assertEqual(told_s[0], sample.at_s)

    def test_a_change_of_a_neighbour_is_looked_at_at_once(self):
        controller = scripted.Controller()
        domain = fakes.Domain(jobStats=scripted.RUNNING_JOB)
        changed = inbox_mod.NeighbourChanged(1.0)
        self.run_loop(domain, controller, [[], [changed], [changed]])
        self.assertEqual(3, len([one for one in controller.heard if one[0] == 'observe']))

    def test_after_a_refusal_the_rest_of_the_decision_is_left(self):
        domain = fakes.Domain(
            jobStats=scripted.RUNNING_JOB, migrateSetMaxDowntime=fakes.error(libvirt.VIR_ERR_RPC))
        refused = remedies.SetMaxDowntime(100, 90)
        controller = scripted.Controller([scripted.decide(refused, remedies.SetBandwidth(50))])
        self.run_loop(domain, controller, [[], []])
        self.assertEqual([], domain.called('migrateSetMaxSpeed'))
        self.assertIn(('failed', refused), controller.heard)

    def test_the_engine_is_told_what_was_left_out_before_it_decides(self):
        heard = []

        def stats():
            # The thread that makes the call goes on meanwhile.
            self.call.left_out = ('post_copy',)
            return scripted.RUNNING_JOB

        controller = scripted.Controller()
        controller.observe = lambda sample: heard.append(controller.left_out)
        self.run_loop(fakes.Domain(jobStats=stats), controller, [[], []])
        self.assertEqual([('post_copy',)] * 2, heard)

    def test_a_migration_may_begin_again_until_memory_is_sent_or_it_is_to_end(self):
        controller = scripted.Controller()
        for phase, may in ((samples.Phase.SETUP, True), (samples.Phase.DISKS, True),
                           (samples.Phase.BULK, False), (samples.Phase.PASSES, False),
                           (samples.Phase.POST_COPY, False)):
            controller.phase = phase
            self.run_loop(fakes.Domain(), controller, [])
            self.assertIs(may, self.monitor.may_begin_again, phase)
        for refused, state in ((0, 'done'), (fakes.error(libvirt.VIR_ERR_OPERATION_INVALID),
                                             'due, for there is no job yet')):
            controller = scripted.Controller([scripted.decide(remedies.Abort())])
            controller.phase = samples.Phase.SETUP
            self.run_loop(fakes.Domain(abortJob=refused), controller, [[]])
            self.assertFalse(self.monitor.may_begin_again, state)

    def test_an_engine_that_fails_leaves_a_monitor_that_watches(self):
        controller = scripted.Controller([ValueError('a bug'), scripted.decide(remedies.Abort())])
        domain = fakes.Domain(jobStats=scripted.RUNNING_JOB)
        ended = self.run_loop(domain, controller, [[], [], []])
        self.assertIs(outcome_mod.End.COMPLETED, ended.end)
        self.assertEqual([], domain.called('abortJob'))
        self.assertIn('engine failed', self.kinds('event')[0]['text'])
        self.assertEqual(3, len(self.kinds('sample')))

    def test_without_the_engine_a_persons_commands_are_still_done(self):
        for command, call in ((inbox_mod.Command(vocabulary.CANCEL), 'abortJob'),
                              (inbox_mod.Command(vocabulary.FORCE_COMPLETE), 'suspend')):
            domain = fakes.Domain(jobStats=[scripted.RUNNING_JOB])
            self.run_loop(domain, scripted.Controller([ValueError('a bug')]), [[], [command]])
            self.assertEqual(1, len(domain.called(call)))

    def test_without_the_engine_a_deadline_is_still_an_end(self):
        domain = fakes.Domain(jobStats=[scripted.RUNNING_JOB, scripted.RUNNING_JOB, {'type': 0}])
        controller = scripted.Controller([ValueError('a bug')])
        controller.facts = types.SimpleNamespace(
            deadline_s=fakes.Clock()() + 3, started_s=0.0)
        ended = self.run_loop(domain, controller, [[], [], []], scripted.ABORTED)
        self.assertIs(outcome_mod.End.CANCELLED, ended.end)
        self.assertIn('deadline', ended.reason)
        self.assertEqual(1, len(domain.called('abortJob')))

    def test_passes_of_a_few_ms_are_left_to_the_next_one(self):
        now_s = fakes.Clock()()
        controller = scripted.Controller()
        self.run_loop(fakes.Domain(jobStats=scripted.RUNNING_JOB), controller, [
            [inbox_mod.PassStarted(now_s + late_s, number)]
            for number, late_s in ((1, 0.0), (2, 0.05), (3, 0.09), (4, 0.12), (5, 0.21))])
        self.assertEqual([True, False, False, True, False],
                         [sample.boundary for what, sample in controller.heard
                          if what == 'observe'])

    def test_a_libvirt_that_does_not_answer_is_said_once(self):
        controller = scripted.Controller()
        self.run_loop(fakes.Domain(jobStats=fakes.error(libvirt.VIR_ERR_RPC)), controller,
                      [[]] * 5)
        self.assertEqual(2, len(self.kinds('event')))
        self.assertEqual('libvirt answers again', self.kinds('event')[-1]['text'])
        self.assertEqual(5, len([h for h in controller.heard if h[0] == 'observe']))

    def test_a_cancel_before_there_is_a_job_is_tried_until_it_works(self):
        domain = fakes.Domain(abortJob=[
            fakes.error(libvirt.VIR_ERR_OPERATION_INVALID),
            fakes.error(libvirt.VIR_ERR_OPERATION_INVALID), None])
        ended = self.run_loop(
            domain, scripted.Controller(), [[inbox_mod.Command(vocabulary.CANCEL)], [], [], []],
            scripted.ABORTED)
        self.assertEqual(outcome_mod.End.CANCELLED, ended.end)
        self.assertIn('API', ended.reason)
        self.assertEqual(3, len(domain.called('abortJob')))
        self.assertEqual(1, len(self.kinds('decision')))

    def test_a_cancel_in_a_post_copy_that_others_started_is_refused_at_once(self):
        """libvirt says of both that the operation is not valid."""
        post_copy = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY)
        for states, aborts in ((post_copy, 1), ([fakes.RUNNING, post_copy], 2)):
            domain = fakes.Domain(
                jobStats=scripted.RUNNING_JOB, state=states,
                abortJob=fakes.error(libvirt.VIR_ERR_OPERATION_INVALID))
            command = inbox_mod.Command(vocabulary.CANCEL)
            self.run_loop(domain, scripted.Controller(), [[command], [], [], [], []])
            told = command.reply.wait(0)
            self.assertEqual(409, told.status)
            self.assertIn('post-copy', told.message)
            self.assertEqual(1, self.host.post_copy)
            self.assertEqual(aborts, len(domain.called('abortJob')))
            self.assertIn('another client', self.kinds('event')[0]['text'])

    def test_libvirt_without_statistics_is_said_in_the_view_until_it_has_some(self):
        seen = []
        domain = fakes.Domain(jobStats=[
            fakes.error(libvirt.VIR_ERR_RPC, 'no daemon'), scripted.RUNNING_JOB])
        controller = scripted.Controller()
        observe = controller.observe
        controller.observe = lambda sample: seen.append(
            self.monitor.view['waits_for']) or observe(sample)
        self.run_loop(domain, controller, [[], [], []])
        self.assertIsNone(seen[0])
        self.assertIn('no daemon', seen[1])
        self.assertIsNone(seen[2])
        self.assertEqual(['jobStats: no daemon', 'libvirt answers again'],
                         [record['text'] for record in self.kinds('event')])

    def test_a_link_that_stands_still_is_said_in_the_view(self):
        now_s = fakes.Clock()()
        policy = keys.Policy()
        facts = controller_mod.Facts(1 << 30, 0, now_s, deadline_s=now_s + 900)
        controller = controller_mod.Controller(policy, dataclasses.replace(
            facts, qemu_limit_ms=controller_mod.initial_limit_ms(policy, facts)))
        seen = []

        def stats():
            seen.append(self.monitor.view)
            return scripted.RUNNING_JOB
        self.run_loop(fakes.Domain(jobStats=stats), controller, [[]] * 9)
        self.assertIsNone(seen[5]['waits_for'])
        self.assertEqual('the link to the destination, over which nothing moves',
                         seen[8]['waits_for'])
        self.assertEqual((False, None, False), tuple(
            seen[8][name] for name in ('converges', 'eta_seconds', 'makes_deadline')))
        self.assertIsNone(self.monitor.view['waits_for'])
        self.assertEqual(['standstill'], [one['rule'] for one in self.kinds('decision')])

    def test_one_that_is_being_aborted_is_shown_as_that_and_without_its_end(self):
        seen = []

        def stats():
            seen.append(self.monitor.view)
            return scripted.RUNNING_JOB
        controller = scripted.Controller([scripted.decide(remedies.Abort())])
        controller.forecast = controller_mod.Forecast(
            converges=True, eta_low_s=4.0, eta_s=5.0, eta_high_s=6.0, makes_deadline=True)
        self.run_loop(fakes.Domain(jobStats=stats), controller, [[], [], []])
        self.assertEqual(['bulk copy', 'aborting', 'aborting'], [one['phase'] for one in seen[:3]])
        self.assertEqual((None, None, None), tuple(
            seen[2][name] for name in ('converges', 'eta_seconds', 'makes_deadline')))
        self.assertEqual('finishing', self.monitor.view['phase'])

    def test_how_a_switchover_stands_is_told_to_another_thread(self):
        seen = []

        def stats():
            seen.append(self.monitor.switchover())
            return scripted.RUNNING_JOB
        controller = scripted.Controller()
        controller.facts.deadline_s = fakes.Clock()() + 12
        switched = inbox_mod.Switchover(fakes.Clock()() + 4)
        self.run_loop(fakes.Domain(jobStats=stats), controller, [[], [switched], [], [], []])
        self.assertEqual([None, None], [seen[0].since_s, seen[-1]])
        self.assertEqual((switched.at_s, 0.1, None, True, True), dataclasses.astuple(seen[1]))
        self.assertEqual('The deadline has passed', seen[4].wanted)

    def test_a_cancel_and_an_abort_that_libvirt_does_not_answer_are_wanted(self):
        seen = []

        def abort():
            seen.append(self.monitor.switchover())
        domain = fakes.Domain(jobStats=scripted.RUNNING_JOB, abortJob=abort)
        self.run_loop(domain, scripted.Controller([scripted.decide(remedies.Abort())]),
                      [[inbox_mod.Switchover(fakes.Clock()())], [], []])
        self.assertEqual(['because'], [one.wanted for one in seen])

    def test_a_switchover_whose_call_has_failed_is_told_until_it_is_known_where_the_guest_is(self):
        seen = []

        def stats():
            seen.append(self.monitor.switchover())
            return scripted.RUNNING_JOB
        domain = fakes.Domain(jobStats=[scripted.RUNNING_JOB, stats, {'type': 0}])
        self.run_loop(domain, scripted.Controller(), [[]],
                      fakes.error(libvirt.VIR_ERR_OPERATION_FAILED))
        self.assertEqual(['The call that migrates it failed'], [one.wanted for one in seen])
        self.assertIsNone(self.monitor.switchover())

    def leave_in(self, rounds, domain=None, error=None, too_late=(), call_ends=False):
        """Run a loop that is told to leave in its last round; return its outcome."""
        leave = leaving.Leave()
        controller = scripted.Controller([None, None])
        domain = domain or fakes.Domain(jobStats=scripted.RUNNING_JOB)
        script_wait = scripted.Script.wait

        def wait(script, timeout_s):
            if not script.rounds:
                leave.give()
                if not call_ends:
                    # As the thread of the call does that is not waited for.
                    self.call.is_left = True
                    return []
            return script_wait(script, timeout_s)

        with mock.patch.object(scripted.Script, 'wait', wait), mock.patch.object(
                scripted.Host, 'operation_done', lambda host: self.call.is_left):
            return self.run_loop(domain, controller, rounds, error, too_late=too_late, leave=leave)

    def test_a_migration_that_is_left_has_no_end(self):
        late = [inbox_mod.Command(vocabulary.CANCEL), inbox_mod.Retune({}, ())]
        self.assertIsNone(self.leave_in([[]], too_late=late))
        self.assertEqual([leaving.LEFT], [one['text'] for one in self.kinds('event')])
        for one in late:
            given = one.reply.wait(0)
            self.assertEqual(protocol.UNAVAILABLE, given.status)
            self.assertIn('ask again', given.message)

    def test_one_that_is_over_at_that_moment_has_its_end(self):
        self.assertIs(outcome_mod.End.COMPLETED, self.leave_in([[]], call_ends=True).end)

    def test_one_whose_end_is_not_known_then_is_left(self):
        domain = fakes.Domain(jobStats=fakes.error(libvirt.VIR_ERR_RPC, 'libvirt is away'))
        self.assertIsNone(self.leave_in(
            [[]], domain, fakes.error(libvirt.VIR_ERR_RPC), call_ends=True))
        self.assertIn(leaving.LEFT, [one['text'] for one in self.kinds('event')])

    def test_what_was_ended_past_libvirt_is_no_failure(self):
        domain = fakes.Domain(jobStats=[scripted.RUNNING_JOB, {'type': 0}])
        ended = self.run_loop(domain, scripted.Controller(), [[]],
                              fakes.error(libvirt.VIR_ERR_OPERATION_FAILED), outside='closed')
        self.assertEqual((outcome_mod.End.CANCELLED, 'closed'), (ended.end, ended.reason))

    def test_a_cancel_is_acted_on_before_what_the_engine_decides_meanwhile(self):
        domain = fakes.Domain(jobStats=[scripted.RUNNING_JOB, {'type': 0}])
        command = inbox_mod.Command(vocabulary.CANCEL)
        self.run_loop(domain, scripted.Controller([scripted.decide(remedies.StartPostCopy())]),
                      [[command], []], scripted.ABORTED)
        self.assertEqual(202, command.reply.wait(0).status)
        names = [call[0] for call in domain.calls]
        self.assertLess(names.index('abortJob'), names.index('jobStats'))

    def test_a_cancel_that_comes_while_libvirt_is_silent_forestalls_a_decision(self):
        def hang():
            self.waits = True
            return scripted.RUNNING_JOB

        self.waits = False
        domain = fakes.Domain(jobStats=[hang])
        controller = scripted.Controller([scripted.decide(remedies.StartPostCopy())])
        with mock.patch.object(scripted.Script, 'holds', lambda script, name: self.waits):
            self.run_loop(domain, controller, [[]])
        self.assertEqual([], domain.called('migrateStartPostCopy'))
        self.assertEqual([], controller.heard)

    def test_a_call_that_ends_while_libvirt_is_silent_forestalls_a_decision(self):
        def hang():
            self.call.done = True
            return scripted.RUNNING_JOB

        domain = fakes.Domain(jobStats=[hang, {'type': 0}])
        controller = scripted.Controller([scripted.decide(remedies.StartPostCopy())])
        self.run_loop(domain, controller, [[]], fakes.error(libvirt.VIR_ERR_OPERATION_FAILED))
        self.assertEqual([], domain.called('migrateStartPostCopy'))
        self.assertEqual([], controller.heard)

    def test_post_copy_is_told_to_nova_and_to_the_engine(self):
        domain = fakes.Domain(jobStats=scripted.RUNNING_JOB)
        controller = scripted.Controller()
        self.run_loop(domain, controller, [[inbox_mod.Command(vocabulary.FORCE_COMPLETE)], []])
        self.assertEqual(1, self.host.post_copy)
        self.assertTrue(controller.heard[-1][1].post_copy)

    def test_a_guest_paused_for_a_migration_that_failed_runs_again(self):
        domain = fakes.Domain(
            jobStats=[scripted.RUNNING_JOB, {'type': 0}], state=(libvirt.VIR_DOMAIN_PAUSED, 1))
        ended = self.run_loop(
            domain, scripted.Controller([scripted.decide(remedies.Pause())]), [[]], fakes.error(1))
        self.assertIs(outcome_mod.End.FAILED, ended.end)
        self.assertEqual([()], domain.called('resume'))

    def test_a_guest_that_is_not_resumed_is_said_where_its_operator_looks(self):
        for reason, resume, word in (
                (libvirt.VIR_DOMAIN_PAUSED_IOERROR, 0, 'I/O error'),
                (libvirt.VIR_DOMAIN_PAUSED_USER, fakes.error(1, 'no lock'), 'no lock')):
            domain = fakes.Domain(jobStats=[scripted.RUNNING_JOB, {'type': 0}], resume=resume,
                                  state=(libvirt.VIR_DOMAIN_PAUSED, reason))
            late = inbox_mod.Look()
            ended = self.run_loop(
                domain, scripted.Controller([scripted.decide(remedies.Pause())]), [[]],
                fakes.error(1), too_late=[late])
            self.assertIs(outcome_mod.End.FAILED, ended.end)
            for told in (ended.reason, self.kinds('event')[-1]['text'],
                         late.reply.wait(0).message):
                self.assertIn(word, told)
                self.assertIn('virsh resume', told)

    def test_a_guest_that_its_owner_had_paused_stays_so(self):
        domain = fakes.Domain(
            jobStats=[scripted.RUNNING_JOB, {'type': 0}], state=(libvirt.VIR_DOMAIN_PAUSED, 1))
        ended = self.run_loop(
            domain, scripted.Controller([scripted.decide(remedies.Pause())]), [[]], fakes.error(1),
            was_paused=True)
        self.assertIs(outcome_mod.End.FAILED, ended.end)
        self.assertEqual([], domain.called('resume'))

    def end_by(self, state, error, obstacle, **kwargs):
        """End it by an error; return the domain, the outcome and how often others were asked."""
        asked = []

        def ask():
            asked.append(1)
            return obstacle

        domain = fakes.Domain(jobStats=[scripted.RUNNING_JOB, {'type': 0}], state=state)
        ended = self.run_loop(
            domain, scripted.Controller([scripted.decide(remedies.Pause())]), [[]], error,
            obstacle=ask, **kwargs)
        return domain, ended, len(asked)

    def test_where_the_guest_may_have_arrived_neither_it_nor_nova_is_touched(self):
        late = inbox_mod.Look()
        domain, ended, asked = self.end_by(
            (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION),
            fakes.error(libvirt.VIR_ERR_RPC, 'libvirtd has died'), 'the guest has arrived',
            too_late=[late])
        self.assertEqual((outcome_mod.End.UNDECIDED, 1), (ended.end, asked))
        self.assertEqual([], domain.called('resume'))
        for told in (ended.reason, self.kinds('event')[-1]['text'],
                     late.reply.wait(0).message):
            self.assertIn('libvirtd has died', told)
            self.assertIn('left to recovery: the guest has arrived', told)

    def test_where_it_has_not_it_ends_as_it_would_have(self):
        for was_paused, resumed in ((False, [()]), (True, [])):
            domain, ended, asked = self.end_by(
                (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER),
                fakes.error(libvirt.VIR_ERR_OPERATION_ABORTED), None, was_paused=was_paused)
            self.assertEqual((outcome_mod.End.CANCELLED, 1), (ended.end, asked))
            self.assertEqual(resumed, domain.called('resume'))

    def test_nobody_is_asked_for_a_guest_that_has_run_all_the_time(self):
        _, ended, asked = self.end_by(
            fakes.RUNNING, fakes.error(libvirt.VIR_ERR_OPERATION_ABORTED), 'a bug')
        self.assertEqual((outcome_mod.End.CANCELLED, 0), (ended.end, asked))

    def test_its_link_is_free_before_anybody_is_asked(self):
        told = []

        def ask():
            told.append('asked')

        self.run_loop(
            fakes.Domain(jobStats=[scripted.RUNNING_JOB, {'type': 0}],
                         state=(libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER)),
            scripted.Controller(), [[]], fakes.error(libvirt.VIR_ERR_OPERATION_ABORTED),
            obstacle=ask, flowed=lambda: told.append('free'))
        self.assertEqual(['free', 'asked'], told)

    def test_the_link_is_free_once_nothing_flows_also_where_memory_has_still_to_come(self):
        broken = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)
        for state, error, end in (
                (fakes.RUNNING, None, outcome_mod.End.COMPLETED),
                (broken, fakes.error(1), outcome_mod.End.BROKEN)):
            told = []
            ended = self.run_loop(
                fakes.Domain(jobStats=[scripted.RUNNING_JOB, {'type': 0}], state=state),
                scripted.Controller(), [[]], error, flowed=lambda told=told: told.append('free'))
            self.assertEqual((end, ['free']), (ended.end, told))

    def test_an_error_of_who_is_told_changes_nothing(self):
        ended = self.run_loop(
            fakes.Domain(jobStats=scripted.RUNNING_JOB), scripted.Controller(), [[]],
            flowed=mock.Mock(side_effect=RuntimeError('a bug')))
        self.assertIs(outcome_mod.End.COMPLETED, ended.end)

    def test_an_answer_that_fails_is_none(self):
        domain = fakes.Domain(jobStats=[scripted.RUNNING_JOB, {'type': 0}],
                              state=(libvirt.VIR_DOMAIN_PAUSED, 1))
        ended = self.run_loop(domain, scripted.Controller(), [[]], fakes.error(1),
                              obstacle=mock.Mock(side_effect=RuntimeError('no bus')))
        self.assertIs(outcome_mod.End.UNDECIDED, ended.end)
        self.assertIn('no bus', ended.reason)

    def test_a_look_that_fails_does_not_silence_a_command(self):
        command = inbox_mod.Command(vocabulary.CANCEL)
        self.run_loop(
            fakes.Domain(jobStats=RuntimeError('odd')), scripted.Controller(), [[command]])
        self.assertEqual(202, command.reply.wait(0).status)

    def test_while_its_end_is_looked_for_it_is_finishing(self):
        seen = []
        domain = fakes.Domain(
            jobStats=[scripted.RUNNING_JOB, {'type': 0}],
            state=lambda: seen.append(self.monitor.view['phase']) or fakes.RUNNING)
        self.run_loop(domain, scripted.Controller(), [[]], fakes.error(1))
        self.assertEqual({'finishing'}, set(seen))

    def test_a_command_that_fails_is_answered(self):
        tune = inbox_mod.Retune(None, ())
        ended = self.run_loop(
            fakes.Domain(jobStats=scripted.RUNNING_JOB), scripted.Controller(), [[tune], []])
        self.assertEqual(503, tune.reply.wait(0).status)
        self.assertIs(outcome_mod.End.COMPLETED, ended.end)

    def test_memory_gets_the_whole_cap_after_the_disks(self):
        domain = fakes.Domain(jobStats=scripted.RUNNING_JOB)
        controller = scripted.Controller()
        controller.phase = samples.Phase.DISKS

        def memory_begins(sample):
            controller.phase = samples.Phase.BULK

        self.run_loop(domain, controller, [[]], shared=True)
        self.assertEqual([], domain.called('migrateSetMaxSpeed'))
        controller.observe = memory_begins
        self.run_loop(domain, controller, [[], []], shared=True)
        self.assertEqual([(50, 0)], domain.called('migrateSetMaxSpeed'))

    def test_the_whole_cap_is_tried_again_where_it_was_refused(self):
        domain = fakes.Domain(jobStats=scripted.RUNNING_JOB, migrateSetMaxSpeed=[
            fakes.error(libvirt.VIR_ERR_OPERATION_TIMEOUT), 0])
        self.run_loop(domain, scripted.Controller(), [[], [], []], shared=True)
        self.assertEqual([(50, 0)] * 2, domain.called('migrateSetMaxSpeed'))

    def test_a_post_copy_whose_answer_was_lost_has_begun(self):
        domain = fakes.Domain(
            jobStats=scripted.RUNNING_JOB, migrateStartPostCopy=fakes.error(libvirt.VIR_ERR_RPC),
            state=(libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY))
        self.run_loop(domain, scripted.Controller(),
                      [[inbox_mod.Command(vocabulary.FORCE_COMPLETE)], []])
        self.assertEqual(1, self.host.post_copy)
        self.assertEqual([True], [r['done'] for r in self.kinds('action')])

    def test_the_final_figures_come_from_the_event(self):
        stats = {'downtime': 42}
        self.run_loop(fakes.Domain(jobStats=scripted.RUNNING_JOB), scripted.Controller(),
                      [[inbox_mod.JobCompleted(0.0, stats)]])
        self.assertEqual(stats, self.monitor.final_stats)

    def test_the_final_figures_may_come_with_the_last_of_the_inbox(self):
        stats = {'downtime': 42}
        self.run_loop(fakes.Domain(jobStats=scripted.RUNNING_JOB), scripted.Controller(), [[]],
                      too_late=[inbox_mod.JobCompleted(0.0, stats)])
        self.assertEqual(stats, self.monitor.final_stats)

    def test_progress_that_cannot_be_reported_is_survived(self):
        controller = scripted.Controller()

        def no_database(sample, percent):
            raise RuntimeError('no database')

        self.clock = fakes.Clock()
        host = scripted.Host()
        host.report = no_database
        call = outcome_mod.MigrateCall(started=True)
        monitor = loop.Monitor(
            guest=guest_mod.MigratingGuest(fakes.Domain(jobStats=scripted.RUNNING_JOB)),
            controller=controller, progress=progress_mod.Progress(1 << 30, 0),
            inbox=scripted.Script(self.clock, call, [[], []]),
            journal=journal_mod.Journal(None, 0.0, 0), call=call,
            policy_in_force=scripted.no_retune(),
            host=host,
            sleep=self.clock.sleep)
        self.assertIs(outcome_mod.End.COMPLETED, monitor.run().end)
