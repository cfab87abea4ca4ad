# SPDX-License-Identifier: Apache-2.0
"""Flags and parameters that follow from a policy, and how they get into the migrate call.

The call is made again without what was refused.
"""

from __future__ import annotations

import dataclasses

import libvirt
import testtools

from nova_migpolicy.compute import fits
from nova_migpolicy.compute import migrate_call
from nova_migpolicy.monitor import leaving
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.policy import keys
from tests.unit.compute import cases
from tests.unit.monitor import fakes

NEW = dataclasses.replace(cases.BASE, libvirt_version=11_003_000,
                          qemu_version=10_001_000, link_mib_s=80.0)
ALL = keys.Policy(parallel_connections=4, compression='zstd', bandwidth_mib_s=50,
                  max_bandwidth_mib_s=50, remedies=('auto_converge', 'post_copy'))
# An error that names each thing, in the order in which this destination finds them.
REFUSALS = {
    fits.SWITCHOVER: "parameter 'bandwidth.avail.switchover' not supported",
    'zstd': "Unsupported compression method 'zstd'",
    fits.POST_COPY: 'Postcopy is not supported: Userfaultfd not available',
    fits.PARALLEL: "Migration option 'multifd' is not supported by QEMU binary",
    fits.THROTTLE: "Migration option 'auto-converge' is not supported by QEMU binary",
}
NOVAS_FLAGS = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER


def make(circumstances=None, refused=migrate_call.NOTHING, **policy):
    return migrate_call.make(keys.Policy(**policy), cases.at(**circumstances or {}), refused)


class PlanTest(testtools.TestCase):

    def test_the_default_adds_nothing(self):
        made = make()
        self.assertEqual(NOVAS_FLAGS, made.edit_flags(NOVAS_FLAGS))
        self.assertEqual((), made.notes)

    def test_novas_own_flags_for_what_is_the_policys_are_taken_away(self):
        flags = NOVAS_FLAGS | libvirt.VIR_MIGRATE_AUTO_CONVERGE | libvirt.VIR_MIGRATE_PARALLEL
        made = make()
        self.assertEqual(NOVAS_FLAGS, made.edit_flags(flags))
        self.assertNotIn(libvirt.VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS, made.edit_params(
            {libvirt.VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS: 4}))

    def test_post_copy_where_policy_or_nova_permit_it(self):
        for asked in ({'remedies': ('post_copy',)}, {'on_stall': 'post_copy'},
                      {'on_timeout': 'post_copy'}):
            self.assertTrue(make(**asked).can_post_copy)
        self.assertTrue(make({'nova_post_copy': True}).can_post_copy)

    def test_post_copy_is_left_out_with_a_word_where_it_cannot_work(self):
        for obstacle in ({'paused': True}, {'persistent_memory': True}, {'tunnelled': True}):
            made = make(obstacle, remedies=('post_copy',))
            self.assertFalse(made.can_post_copy)
            self.assertFalse(made.flags & libvirt.VIR_MIGRATE_POSTCOPY)
            self.assertIn('post_copy is left out', made.notes[0])

    def test_parallel_post_copy_depends_on_qemu(self):
        asked = {'remedies': ('post_copy',), 'parallel_connections': 4}
        self.assertFalse(make(**asked).can_post_copy)
        self.assertTrue(make({'qemu_version': 10_001_000}, **asked).can_post_copy)

    def test_auto_converge_starts_armed_and_needs_monitor_commands(self):
        made = make(remedies=('auto_converge',))
        self.assertTrue(made.flags & libvirt.VIR_MIGRATE_AUTO_CONVERGE)
        self.assertEqual(1, made.params[libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL])
        refused = make({'allow_qmp': False}, remedies=('auto_converge',))
        self.assertFalse(refused.can_throttle)
        self.assertFalse(refused.flags & libvirt.VIR_MIGRATE_AUTO_CONVERGE)
        self.assertIn('allow_qmp', refused.notes[0])

    def test_the_cap_is_shared_among_disks(self):
        for cap, disks, share in ((100, 0, 100), (100, 1, 100), (100, 3, 33), (2, 5, 1),
                                  (0, 3, 0)):
            made = make(bandwidth_mib_s=cap).for_disks(disks)
            self.assertEqual((cap, share), (made.bandwidth_mib_s, made.start_bandwidth_mib_s))
            self.assertEqual(share, made.edit_params({'bandwidth': 7})['bandwidth'])

    def test_compression(self):
        self.assertEqual('xbzrle', make(compression='xbzrle').params['compression'])
        for asked, circumstances in (
                ({'compression': 'zstd'}, {}),
                ({'compression': 'zstd', 'parallel_connections': 4}, {}),
                ({'compression': 'xbzrle', 'parallel_connections': 4}, {})):
            made = make(circumstances, **asked)
            self.assertFalse(made.flags & libvirt.VIR_MIGRATE_COMPRESSED)
            self.assertIn('is left out', made.notes[0])
        made = make({'libvirt_version': 9_004_000}, compression='zstd', parallel_connections=4)
        self.assertEqual('zstd', made.params['compression'])

    def test_what_was_refused_is_left_out_with_its_reason(self):
        made = make(refused={'post_copy': 'no userfaultfd', 'zstd': 'never asked for'},
                    remedies=('auto_converge', 'post_copy'))
        self.assertEqual((False, True), (made.can_post_copy, made.can_throttle))
        self.assertEqual(('post_copy is left out: no userfaultfd',), made.notes)

    def test_what_follows_from_a_refusal_is_left_out_as_well(self):
        made = make({'libvirt_version': 9_004_000}, {'parallel_connections': 'no'},
                    compression='zstd', parallel_connections=4)
        self.assertEqual((0, 2), (made.flags, len(made.notes)))
        self.assertIn('needs parallel connections', made.notes[1])

    def test_a_link_that_qemu_cannot_be_told_is_noted_only_if_it_was_refused(self):
        old, new = {'link_mib_s': 80.0}, {
            'link_mib_s': 80.0, 'libvirt_version': 11_003_000, 'qemu_version': 10_000_000}
        self.assertEqual((), make(old, bandwidth_mib_s=50).notes)
        self.assertEqual(1, len(make(
            new, {'switchover': 'unknown there'}, bandwidth_mib_s=50).notes))

    def test_what_a_plan_hangs_on(self):
        policy = keys.Policy(remedies=('post_copy',), parallel_connections=4)
        new = cases.at(qemu_version=10_001_000)
        self.assertTrue(migrate_call.hangs_on(policy, new, qemu_version=0))
        self.assertTrue(migrate_call.hangs_on(policy, new, destination_qemu_version=0))
        self.assertFalse(migrate_call.hangs_on(policy, cases.BASE, qemu_version=0))
        self.assertFalse(migrate_call.hangs_on(keys.Policy(), new, qemu_version=0))

    def test_qemu_is_told_of_the_link_where_it_can_be(self):
        new = {'libvirt_version': 11_003_000, 'qemu_version': 10_000_000}
        for circumstances, told in (
                ({**new, 'link_mib_s': 123.9}, 123), (new, None), ({'link_mib_s': 123.9}, None),
                ({**new, 'qemu_version': 7_002_000, 'link_mib_s': 80}, None),
                ({**new, 'link_mib_s': 0.5}, None), ({**new, 'link_mib_s': 20}, 50)):
            made = make(circumstances, bandwidth_mib_s=50)
            self.assertEqual(told, made.switchover_mib_s)
            self.assertEqual(told, made.params.get(migrate_call.SWITCHOVER_PARAM))
        # Without a cap it sees for itself.
        self.assertIsNone(make({**new, 'link_mib_s': 123.9}).switchover_mib_s)


class Domain:
    """Keeps parameters and flags of each call, and fails as it is told to."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.seen = []

    def migrateToURI3(self, destination, params, flags):
        self.seen.append((dict(params), flags))
        error = self.errors.pop(0) if self.errors else None
        if error:
            raise error
        return 0


def refused(text):
    return fakes.error(libvirt.VIR_ERR_INTERNAL_ERROR, text)


class PlannedDomainTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.call = outcome_mod.MigrateCall()
        self.left_out = {}
        self.may = True

    def make(self):
        return migrate_call.make(ALL, NEW, self.left_out)

    def leave_out(self, feature, why):
        self.left_out[feature] = why
        return self.make()

    def migrate(self, domain):
        planned = migrate_call.PlannedDomain(
            domain, self.make(), self.call, self.leave_out, lambda: self.may)
        planned.migrateToURI3('qemu+tcp://there/system', params={'bandwidth': 1}, flags=0)

    def test_a_call_that_is_left_is_as_if_it_were_over(self):
        leave = leaving.Leave()
        leave.give()
        planned = migrate_call.PlannedDomain(
            Domain(), self.make(), self.call, self.leave_out, lambda: self.may, leave)
        self.assertEqual(0, planned.migrateToURI3('there', params={}, flags=0))
        self.assertTrue(self.call.is_left)

    def test_the_plan_is_used_once(self):
        domain = Domain()
        self.migrate(domain)
        [(params, flags)] = domain.seen
        self.assertEqual((80, 'zstd', 50), (
            params[migrate_call.SWITCHOVER_PARAM], params['compression'], params['bandwidth']))
        self.assertTrue(flags & libvirt.VIR_MIGRATE_POSTCOPY)
        self.assertTrue(self.call.started)
        self.assertEqual({}, self.left_out)

    def test_what_is_refused_is_left_out_and_the_rest_stays(self):
        for feature, text in REFUSALS.items():
            self.left_out.clear()
            domain = Domain(refused(text))
            self.migrate(domain)
            self.assertEqual([feature], list(self.left_out))
            (before, flags_before), (after, flags_after) = domain.seen
            self.assertNotEqual((before, flags_before), (after, flags_after), feature)
            self.assertEqual(50, after['bandwidth'])
            for other, flag in ((fits.POST_COPY, libvirt.VIR_MIGRATE_POSTCOPY),
                                (fits.THROTTLE, libvirt.VIR_MIGRATE_AUTO_CONVERGE),
                                (fits.PARALLEL, libvirt.VIR_MIGRATE_PARALLEL)):
                self.assertEqual(other != feature, bool(flags_after & flag), (feature, other))

    def test_without_parallel_connections_there_is_no_compression_that_needs_them(self):
        domain = Domain(refused(REFUSALS[fits.PARALLEL]))
        self.migrate(domain)
        self.assertNotIn('compression', domain.seen[-1][0])
        self.assertFalse(domain.seen[-1][1] & libvirt.VIR_MIGRATE_COMPRESSED)

    def test_one_after_another_each_once(self):
        domain = Domain(*map(refused, REFUSALS.values()))
        self.migrate(domain)
        self.assertEqual(len(REFUSALS) + 1, len(domain.seen))
        self.assertEqual(({'bandwidth': 50}, 0), domain.seen[-1])

    def test_what_is_refused_twice_is_an_error(self):
        for text in REFUSALS.values():
            self.left_out.clear()
            domain = Domain(refused(text), refused(text))
            self.assertRaises(libvirt.libvirtError, self.migrate, domain)
            self.assertEqual(2, len(domain.seen), text)

    def test_an_error_that_names_nothing_is_an_error(self):
        domain = Domain(fakes.error(libvirt.VIR_ERR_OPERATION_FAILED))
        self.assertRaises(libvirt.libvirtError, self.migrate, domain)
        self.assertEqual((1, {}), (len(domain.seen), self.left_out))

    def test_an_abort_is_never_tried_again(self):
        domain = Domain(fakes.error(libvirt.VIR_ERR_OPERATION_ABORTED,
                                    REFUSALS[fits.POST_COPY]))
        self.assertRaises(libvirt.libvirtError, self.migrate, domain)
        self.assertEqual(1, len(domain.seen))

    def test_nor_is_what_fails_when_it_may_not_be_called_again(self):
        self.may = False
        domain = Domain(refused(REFUSALS[fits.POST_COPY]))
        self.assertRaises(libvirt.libvirtError, self.migrate, domain)
        self.assertEqual((1, {}), (len(domain.seen), self.left_out))
