# SPDX-License-Identifier: Apache-2.0
"""What persons ask of a running migration, on real hosts: it is done, and the answer is true."""

from __future__ import annotations


from lab import domain as lab_domain
from nova_migpolicy.channel import protocol
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy import vocabulary
from tests.lab import base
from tests.lab import cases

MIB = 1 << 20


class TestTune(cases.CommandsTest):

    def test_bandwidth_in_the_passes(self):
        self.boot(set_mib=32)
        moving = self.move()
        self.in_phase(moving, 'passes')
        tuned = moving.tune(bandwidth_mib_s=400)
        self.assertEqual((protocol.OK, {'bandwidth_mib_s': 400}),
                         (tuned.status, tuned.body['applied']), tuned.message)
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assert_at('n2', moving)

    def test_downtime_in_the_passes(self):
        self.boot(set_mib=32)
        moving = self.move()
        self.in_phase(moving, 'passes')
        tuned = moving.tune(max_downtime_ms=3000)
        self.assertEqual(3000, tuned.body['settings']['max_downtime_ms'], tuned.message)
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)

    def test_held_until_released(self):
        self.boot(set_mib=32)
        moving = self.move(remedies='bandwidth', bandwidth_mib_s='20')
        self.in_phase(moving, 'bulk copy')
        self.assertEqual(protocol.OK, moving.tune(bandwidth_mib_s=15).status)
        lab_domain.wait_until(lambda: moving.progress()['pass_number'] >= 4, timeout=60,
                              what='four passes')
        self.assertEqual(['bandwidth_mib_s'], moving.progress()['held'])
        self.assertEqual(15 * MIB, self.qmp('query-migrate-parameters')[0]['max-bandwidth'])
        self.assertNotIn('raise_bandwidth', [d['rule'] for d in moving.records('decision')])
        released = moving.tune('bandwidth_mib_s')
        self.assertEqual((protocol.OK, {}), (released.status, released.body['held']))
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assertIn('raise_bandwidth', [d['rule'] for d in moving.records('decision')])

    def test_remedies_given_to_a_hopeless_one(self):
        self.boot(set_mib=32)
        moving = self.move()
        self.in_phase(moving, 'passes')
        tuned = moving.tune(remedies=['bandwidth'])
        self.assertEqual(protocol.OK, tuned.status, tuned.message)
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assertIn('set_bandwidth', moving.done)

    def test_a_deadline_that_has_come(self):
        self.boot(set_mib=32)
        moving = self.move()
        self.in_phase(moving, 'passes')
        moving.tune(timeout_seconds=1, timeout_seconds_per_gib=0, on_timeout='pause')
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assertIn('pause', moving.done)
        self.assert_at('n2', moving)

    def test_what_cannot_be_changes_nothing(self):
        self.boot(set_mib=32)
        moving = self.move()
        self.in_phase(moving, 'passes')
        tuned = moving.tune('nonsense', bandwidth_mib_s='fast', max_downtime_ms=700)
        self.assertEqual(protocol.BAD_REQUEST, tuned.status)
        self.assertEqual([], moving.progress()['held'])
        self.assertEqual([], moving.done)
        self.assertEqual(protocol.ACCEPTED, moving.act(vocabulary.CANCEL).status)
        self.assertIs(outcome_mod.End.CANCELLED, moving.wait().end)


class TestDisks(cases.CommandsTest):

    def test_bandwidth_reaches_the_disks_and_then_memory(self):
        self.boot(set_mib=8, rate_mib_s=5, disks_mib=(128, 128))
        moving = self.move(bandwidth_mib_s='10')
        self.in_phase(moving, 'disks')
        lab_domain.wait_until(lambda: self.speeds() == [5, 5], what='both disks to be copied')
        tuned = moving.tune(bandwidth_mib_s=60)
        self.assertEqual(protocol.OK, tuned.status, tuned.message)
        self.assertEqual([30, 30], self.speeds())
        self.in_phase(moving, 'bulk copy', timeout=60)
        self.assertEqual(60 * MIB, self.qmp('query-migrate-parameters')[0]['max-bandwidth'])
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assert_at('n2', moving)

    def test_what_disks_in_sync_leave_goes_to_the_others(self):
        self.boot('idle', disks_mib=(16, 16, 512))
        moving = self.move(bandwidth_mib_s='30')
        lab_domain.wait_until(
            lambda: sorted(job['ready'] for job in self.qmp('query-block-jobs')[0])
            == [False, True, True], timeout=60, what='the small disks to be in sync')
        lab_domain.wait_until(lambda: sorted(self.speeds()) == [1, 1, 28],
                              what='the large one to get what they leave',
                              still=lambda: moving.running)
        self.assertIn('2 of 3 disks are in sync: what they leave of 30 MiB/s goes to the others',
                      [record['text'] for record in moving.records('event')])
        tuned = moving.tune(bandwidth_mib_s=60)
        self.assertEqual(protocol.OK, tuned.status, tuned.message)
        self.assertEqual([1, 1, 58], sorted(self.speeds()))
        self.in_phase(moving, 'bulk copy', timeout=60)
        lab_domain.wait_until(lambda: self.speeds() == [20, 20, 20],
                              what='the disks to have the same for what is left')
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assert_at('n2', moving)

    def test_without_monitor_commands_it_is_refused_and_the_phase_named(self):
        self.boot(set_mib=8, rate_mib_s=5, disks_mib=(128,))
        moving = self.move(bandwidth_mib_s='10', allow_qmp=False)
        self.in_phase(moving, 'disks')
        tuned = moving.tune(bandwidth_mib_s=60)
        self.assertEqual(protocol.CONFLICT, tuned.status)
        self.assertIn('phase disks', tuned.message)
        self.assertIn('allow_qmp', tuned.message)
        self.assertEqual([], moving.progress()['held'])
        self.assertEqual(protocol.ACCEPTED, moving.act(vocabulary.CANCEL).status)
        self.assertIs(outcome_mod.End.CANCELLED, moving.wait().end)
        self.assert_at('n1', moving)

    def test_post_copy_and_pause_are_too_early(self):
        self.boot(set_mib=8, rate_mib_s=5, disks_mib=(128,))
        moving = self.move(bandwidth_mib_s='10', remedies='post_copy')
        self.in_phase(moving, 'disks')
        for command in (vocabulary.START_POST_COPY, vocabulary.PAUSE):
            refused = moving.act(command)
            self.assertEqual(protocol.CONFLICT, refused.status)
            self.assertIn('disks', refused.message)
        moving.act(vocabulary.CANCEL)
        self.assertIs(outcome_mod.End.CANCELLED, moving.wait().end)


class TestEndings(cases.CommandsTest):

    def test_post_copy_on_demand_and_no_way_back(self):
        self.shape(rate_mib_s=8)
        self.boot(set_mib=32)
        moving = self.move(on_timeout='post_copy')
        self.in_phase(moving, 'passes', timeout=60)
        self.assertEqual(protocol.ACCEPTED, moving.act(vocabulary.START_POST_COPY).status)
        self.in_phase(moving, 'post-copy')
        for refused in (moving.act(vocabulary.CANCEL), moving.act(vocabulary.PAUSE),
                        moving.tune(bandwidth_mib_s=30)):
            self.assertEqual(protocol.CONFLICT, refused.status)
            self.assertIn('post-copy', refused.message)
        lab_domain.wait_until(lambda: (moving.progress()['eta_seconds'] or {}).get('expected'),
                              what='a forecast in post-copy', still=lambda: moving.running)
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assert_at('n2', moving)

    def test_post_copy_that_was_not_made_ready(self):
        self.boot(set_mib=32)
        moving = self.move()
        self.in_phase(moving, 'passes')
        refused = moving.act(vocabulary.START_POST_COPY)
        self.assertEqual(protocol.CONFLICT, refused.status)
        self.assertIn('passes', refused.message)
        moving.act(vocabulary.CANCEL)
        self.assertIs(outcome_mod.End.CANCELLED, moving.wait().end)

    def test_pause_on_demand(self):
        self.boot(set_mib=32)
        moving = self.move()
        self.in_phase(moving, 'passes')
        self.assertEqual(protocol.ACCEPTED, moving.act(vocabulary.PAUSE).status)
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assert_at('n2', moving)

    def test_force_complete_twice_is_done_once(self):
        self.boot(set_mib=32)
        moving = self.move()
        self.in_pass(moving, 3)
        answers = [moving.act(vocabulary.FORCE_COMPLETE) for _ in range(2)]
        self.assertEqual(answers[0], answers[1])
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assertEqual(1, moving.done.count('pause'))

    def test_the_switchover_is_seen(self):
        self.shape(rate_mib_s=4)
        self.boot(set_mib=16)
        moving = self.move(bandwidth_mib_s='4')
        self.in_phase(moving, 'passes', timeout=60)
        moving.tune(max_downtime_ms=10_000)
        self.in_phase(moving, 'switchover')
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)


class TestTrixie(base.Trixie, cases.CommandsTest):
    """Commands on a newer libvirt and QEMU."""

    test_post_copy_on_demand = TestEndings.test_post_copy_on_demand_and_no_way_back
    test_disks = TestDisks.test_bandwidth_reaches_the_disks_and_then_memory
