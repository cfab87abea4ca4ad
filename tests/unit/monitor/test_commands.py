# SPDX-License-Identifier: Apache-2.0
"""Persons' commands where libvirt, the policy or the engine says no."""

from __future__ import annotations

import libvirt
import testtools

from nova_migpolicy.channel import protocol
from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.monitor import commands
from nova_migpolicy.monitor import executor as executor_mod
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.monitor import retune as retune_mod
from nova_migpolicy.monitor import status as status_mod
from nova_migpolicy.policy import resolve
from nova_migpolicy import vocabulary
from tests.unit.monitor import fakes

MIB = 1 << 20
FLAVOR = {'bandwidth_mib_s': 50, 'max_bandwidth_mib_s': 400, 'remedies': ['bandwidth'],
          'on_stall': 'continue'}


class CommandsTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.clock = fakes.Clock()
        self.domain = fakes.Domain()
        self.flavor = FLAVOR
        self.phase = None

    def resolver(self, retune):
        return resolve.resolve(resolve.Sources(flavor=self.flavor, retune=retune))

    def make(self, *, post_copy=False, can_throttle=False):
        resolved = self.resolver({})
        facts = controller_mod.Facts(
            memory_bytes=1 << 30, disk_bytes=0, started_s=self.clock(), qemu_limit_ms=100,
            bandwidth_mib_s=50, can_post_copy=post_copy,
            can_throttle=can_throttle)
        self.controller = controller_mod.Controller(resolved.policy, facts)
        self.journal = journal_mod.Journal(None, self.clock(), 0)
        self.executor = executor_mod.Executor(
            guest_mod.MigratingGuest(self.domain, lambda domain, command: '{"return": {}}'),
            self.controller, self.journal, self.clock, lambda: None)
        self.tuning = retune_mod.PolicyInForce(self.resolver, resolved, lambda policy: None)
        self.commands = commands.Commands(
            self.controller, self.executor, self.journal, self.tuning, clock=self.clock,
            phase=lambda: self.phase or self.controller.state)
        self.memory_is_sent()
        return self.commands

    def memory_is_sent(self):
        self.clock.sleep(1)
        self.controller.observe(samples.Sample.from_stats(self.clock(), {
            'memory_total': 1 << 30, 'memory_remaining': 1 << 29, 'memory_processed': 1 << 29,
            'memory_iteration': 1, 'memory_bps': 50 * MIB}))

    def all_is_dirty_again(self):
        """The bulk copy and a pass are over, and as much remains as before."""
        for number in (2, 3):
            self.clock.sleep(20)
            self.controller.observe(samples.Sample.from_stats(self.clock(), {
                'memory_total': 1 << 30, 'memory_remaining': 1 << 30,
                'memory_processed': number << 30, 'memory_iteration': number,
                'memory_bps': 50 * MIB}, boundary=True))

    def act(self, name):
        item = inbox_mod.Command(name)
        self.commands.act(item)
        return item.reply.wait(0)

    def tune(self, *release, **values):
        item = inbox_mod.Retune(values, release)
        self.commands.retune(item)
        return item.reply.wait(0)

    def fail(self):
        """Let the engine fail at a look; it is not asked any more."""
        def observe(_sample):
            raise ZeroDivisionError

        self.controller.observe = observe
        self.executor.observe(samples.Sample(at_s=self.clock()))

    def owed(self, after_s):
        """What is owed without an engine at a look some time later."""
        self.clock.sleep(after_s)
        return self.executor.observe(samples.Sample(at_s=self.clock()))

    def refuse(self, call, code=libvirt.VIR_ERR_OPERATION_INVALID):
        self.domain.answers[call] = fakes.error(code)

    def test_all_of_a_change_or_nothing(self):
        self.make()
        self.refuse('migrateSetMaxSpeed')
        told = self.tune(bandwidth_mib_s=200, on_stall='abort')
        self.assertEqual(protocol.CONFLICT, told.status)
        self.assertIn('bulk copy', told.message)
        self.assertIn('bandwidth_mib_s 50', told.message)
        self.assertEqual({}, self.controller.held)
        self.assertEqual('continue', self.controller.policy.on_stall)
        self.assertEqual({}, self.tuning.retuned)
        # The limit had gone down for the higher rate, and is up again.
        limits = [call[0] for call in self.domain.called('migrateSetMaxDowntime')]
        self.assertEqual(self.controller.settings.limit_ms, limits[-1] if limits else 100)

    def test_taken_back_and_given_again(self):
        self.make()
        self.assertEqual(protocol.OK, self.tune(bandwidth_mib_s=200, on_stall='abort').status)
        told = self.tune('bandwidth_mib_s', 'on_stall')
        self.assertEqual(({}, []), (told.body['held'], sorted(told.body['applied'])))
        self.assertEqual('continue', self.controller.policy.on_stall)
        retunes = [r for r in self.journal.records() if r['kind'] == 'retune']
        self.assertEqual([{'bandwidth_mib_s': 200}, {}], [r['held'] for r in retunes])

    def test_the_policy_beneath_a_held_setting_stays(self):
        self.make()
        self.tune(max_downtime_ms=4000)
        self.assertEqual((500, {'max_downtime_ms': 4000}), (
            self.controller.policy.max_downtime_ms, dict(self.controller.held)))

    def test_above_the_ceiling(self):
        self.make()
        told = self.tune(bandwidth_mib_s=401)
        self.assertEqual(protocol.BAD_REQUEST, told.status)
        self.assertIn('max_bandwidth_mib_s', told.message)
        self.assertEqual([], self.domain.called('migrateSetMaxSpeed'))

    def test_all_that_is_wrong_is_named(self):
        self.make()
        told = self.tune(bandwidth_mib_s='fast', on_stall='panic', speed=3)
        self.assertEqual(protocol.BAD_REQUEST, told.status)
        for word in ('bandwidth_mib_s', 'panic', 'speed'):
            self.assertIn(word, told.message)

    def test_set_and_released_at_once(self):
        self.make()
        told = self.tune('bandwidth_mib_s', bandwidth_mib_s=60)
        self.assertEqual(protocol.BAD_REQUEST, told.status)

    def test_release_of_what_is_no_key(self):
        self.make()
        self.assertIn('speed', self.tune('speed').message)

    def test_a_command_that_was_done_is_not_done_again(self):
        self.make()
        first, second = self.act(vocabulary.CANCEL), self.act(vocabulary.CANCEL)
        self.assertEqual((protocol.ACCEPTED, first), (first.status, second))
        self.assertEqual(1, len(self.domain.called('abortJob')))

    def test_a_cancel_that_libvirt_refuses(self):
        self.make()
        self.refuse('abortJob', libvirt.VIR_ERR_RPC)
        told = self.act(vocabulary.CANCEL)
        self.assertEqual(protocol.ACCEPTED, told.status)
        self.assertIn('tried again', told.body['reason'])
        self.domain.answers['abortJob'] = None
        self.clock.sleep(10)
        self.executor.apply(self.controller.observe(samples.Sample.from_stats(self.clock(), {})))
        self.assertEqual(2, len(self.domain.called('abortJob')))

    def test_a_cancel_before_there_is_a_job_waits_for_its_answer(self):
        self.make()
        self.refuse('abortJob')
        item = inbox_mod.Command(vocabulary.CANCEL)
        self.commands.act(item)
        self.commands.answer_cancels()
        self.assertIsNone(item.reply.wait(0))
        self.domain.answers['abortJob'] = None
        self.executor.cancel_again()
        self.commands.answer_cancels()
        self.assertEqual(protocol.ACCEPTED, item.reply.wait(0).status)

    def end(self, end=outcome_mod.End.COMPLETED):
        self.commands.end(outcome_mod.Outcome(end, 'as it is'))

    def late(self, item):
        self.commands.too_late(item)
        return item.reply.wait(0)

    def test_a_cancel_that_found_no_job_until_the_end(self):
        for code in (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
            for end, status in ((outcome_mod.End.CANCELLED, protocol.ACCEPTED),
                                (outcome_mod.End.COMPLETED, protocol.CONFLICT)):
                self.make()
                self.refuse('abortJob', code)
                item = inbox_mod.Command(vocabulary.CANCEL)
                self.commands.act(item)
                self.executor.cancel_again()
                self.commands.answer_cancels()
                self.assertIsNone(item.reply.wait(0))
                self.end(end)
                self.assertEqual(status, item.reply.wait(0).status)
                self.assertIn('as it is', self.late(inbox_mod.Retune({}, ())).message)

    def test_a_cancel_that_is_refused_once_there_is_a_job_is_not_lost(self):
        self.make()
        self.refuse('abortJob')
        item = inbox_mod.Command(vocabulary.CANCEL)
        self.commands.act(item)
        self.refuse('abortJob', libvirt.VIR_ERR_RPC)
        self.executor.cancel_again()
        self.commands.answer_cancels()
        self.assertIn('tried again', item.reply.wait(0).body['reason'])
        self.domain.answers['abortJob'] = None
        self.clock.sleep(10)
        self.executor.apply(self.controller.observe(samples.Sample.from_stats(self.clock(), {})))
        self.assertEqual(commands.CANCELLED, self.executor.abort_reason.partition(';')[0])

    def test_who_asks_too_late_for_what_has_come(self):
        self.make()
        self.all_is_dirty_again()
        first = self.act(vocabulary.FORCE_COMPLETE)
        self.end()
        self.assertEqual(first, self.late(inbox_mod.Command(vocabulary.FORCE_COMPLETE)))
        for name in (vocabulary.CANCEL, vocabulary.PAUSE, vocabulary.START_POST_COPY):
            self.assertEqual(protocol.CONFLICT, self.late(inbox_mod.Command(name)).status)
        self.make()
        self.act(vocabulary.CANCEL)
        self.end()
        self.assertEqual(protocol.CONFLICT, self.late(inbox_mod.Command(vocabulary.CANCEL)).status)
        self.make()
        self.end(outcome_mod.End.CANCELLED)
        told = self.late(inbox_mod.Command(vocabulary.CANCEL))
        self.assertEqual((protocol.ACCEPTED, 'as it is'), (told.status, told.body['reason']))
        refused = self.late(inbox_mod.Command(vocabulary.FORCE_COMPLETE))
        self.assertEqual(protocol.CONFLICT, refused.status)

    def test_a_cancel_in_the_switchover_is_answered_when_its_end_is_known(self):
        for end, status in ((outcome_mod.End.CANCELLED, protocol.ACCEPTED),
                            (outcome_mod.End.COMPLETED, protocol.CONFLICT)):
            self.make()
            self.phase = vocabulary.SWITCHOVER
            items = [inbox_mod.Command(vocabulary.CANCEL) for _ in range(2)]
            for item in items:
                self.commands.act(item)
                self.assertIsNone(item.reply.wait(0))
            self.end(end)
            self.assertEqual([status] * 2, [item.reply.wait(0).status for item in items])

    def test_post_copy_that_libvirt_refuses_is_not_tried_again(self):
        self.make(post_copy=True)
        self.refuse('migrateStartPostCopy')
        told = self.act(vocabulary.START_POST_COPY)
        self.assertEqual(protocol.CONFLICT, told.status)
        self.memory_is_sent()
        self.assertEqual(1, len(self.domain.called('migrateStartPostCopy')))

    def test_a_completion_that_libvirt_refuses_is_tried_again(self):
        self.make()
        self.all_is_dirty_again()
        self.refuse('suspend')
        told = self.act(vocabulary.FORCE_COMPLETE)
        self.assertEqual(protocol.ACCEPTED, told.status)
        self.assertIn('tried again', told.body['reason'])

    def test_a_completion_that_failed_for_good_is_begun_anew_when_asked_for(self):
        self.make()
        self.all_is_dirty_again()
        self.refuse('suspend')
        self.act(vocabulary.FORCE_COMPLETE)
        self.clock.sleep(10)
        self.executor.apply(self.controller.observe(samples.Sample.from_stats(self.clock(), {})))
        self.assertEqual(2, len(self.domain.called('suspend')))
        self.domain.answers['suspend'] = None
        told = self.act(vocabulary.FORCE_COMPLETE)
        self.assertEqual((protocol.ACCEPTED, 3), (told.status, len(self.domain.called('suspend'))))
        self.assertTrue(self.executor.paused)

    def test_a_completion_is_not_done_any_more_once_it_is_cancelled(self):
        self.make()
        self.act(vocabulary.FORCE_COMPLETE)
        self.assertEqual(protocol.ACCEPTED, self.act(vocabulary.CANCEL).status)
        self.assertEqual(protocol.CONFLICT, self.act(vocabulary.FORCE_COMPLETE).status)

    def test_a_held_throttle_is_shown(self):
        self.flavor = {**FLAVOR, 'remedies': ['auto_converge'], 'max_throttle_percent': 50}
        self.make(can_throttle=True)
        self.assertEqual(50, status_mod.settings(self.controller)['max_throttle_percent'])
        told = self.tune(max_throttle_percent=20)
        self.assertEqual(20, told.body['settings']['max_throttle_percent'])
        self.assertEqual({'max_throttle_percent': 20}, self.commands.in_force['held'])

    def test_where_the_engine_has_failed_and_libvirt_refuses(self):
        self.make()
        self.fail()
        self.refuse('suspend')
        self.refuse('abortJob', libvirt.VIR_ERR_RPC)
        told = self.act(vocabulary.FORCE_COMPLETE)
        self.assertEqual((protocol.CONFLICT, None), (told.status, self.owed(10)))
        self.assertIn('refused', told.message)
        told = self.act(vocabulary.CANCEL)
        self.assertEqual(protocol.ACCEPTED, told.status)
        self.assertIn('it will be tried again', told.body['reason'])
        self.assertIsNone(self.owed(0.5))
        self.assertEqual((remedies.Abort(),), self.owed(1).actions)

    def test_where_the_engine_has_failed(self):
        self.make()
        self.fail()
        self.assertIn('engine', self.tune(bandwidth_mib_s=60).message)
        self.assertIn('engine', self.act(vocabulary.START_POST_COPY).message)
        self.assertEqual(protocol.ACCEPTED, self.act(vocabulary.FORCE_COMPLETE).status)
        self.assertEqual(1, len(self.domain.called('suspend')))
        self.assertEqual(protocol.ACCEPTED, self.act(vocabulary.CANCEL).status)
