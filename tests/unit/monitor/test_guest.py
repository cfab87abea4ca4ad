# SPDX-License-Identifier: Apache-2.0
"""What becomes of libvirt's errors on their way through the guest."""

from __future__ import annotations

import json

import libvirt
import testtools

from nova_migpolicy.engine import remedies
from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from tests.unit.monitor import fakes

CALLS = {
    'migrateSetMaxSpeed': remedies.SetBandwidth(100),
    'migrateSetMaxDowntime': remedies.SetMaxDowntime(400, 300),
    'migrateStartPostCopy': remedies.StartPostCopy(),
    'suspend': remedies.Pause(),
    'abortJob': remedies.Abort(),
}


class GuestTest(testtools.TestCase):

    def test_every_action_is_one_call(self):
        for name, action in CALLS.items():
            domain = fakes.Domain()
            guest_mod.MigratingGuest(domain).apply(action)
            self.assertEqual([name], [call[0] for call in domain.calls])

    def test_what_libvirt_holds_on_to_is_told(self):
        """As the job of a QEMU that was killed in post-copy."""
        off = (libvirt.VIR_DOMAIN_SHUTOFF, 0)
        for code, is_told in ((libvirt.VIR_ERR_OPERATION_TIMEOUT, True),
                              (libvirt.VIR_ERR_INTERNAL_ERROR, False)):
            domain = fakes.Domain(state=off, isActive=0, undefineFlags=[fakes.error(code), 0])
            migrating = guest_mod.MigratingGuest(domain)
            caught = self.assertRaises(exception.GuestError, migrating.remove)
            self.assertEqual((code, is_told), (caught.code, 'start libvirt' in str(caught)))
            migrating.remove()
            self.assertEqual(2, len(domain.called('undefineFlags')))

    def test_a_job_is_ended_when_libvirt_has_let_the_guest_go(self):
        job, none = ({'type': kind} for kind in (
            libvirt.VIR_DOMAIN_JOB_UNBOUNDED, libvirt.VIR_DOMAIN_JOB_NONE))
        domain, waited = fakes.Domain(jobStats=[job, job, none]), []
        guest_mod.MigratingGuest(domain).end_job(waited.append)
        self.assertEqual(([()] * 2, [guest_mod.ENDING_LOOK_S] * 2),
                         (domain.called('abortJob'), waited))

    def test_a_post_copy_is_broken_off_as_soon_as_libvirt_knows_of_it(self):
        job = {'type': libvirt.VIR_DOMAIN_JOB_UNBOUNDED}
        at_it = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY)
        broken = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)
        refused = fakes.error(libvirt.VIR_ERR_OPERATION_INVALID)
        domain = fakes.Domain(jobStats=job, state=[fakes.RUNNING, at_it, broken],
                              abortJob=refused, abortJobFlags=[refused, 0])
        guest_mod.MigratingGuest(domain).end_job(lambda seconds: None)
        self.assertEqual([(libvirt.VIR_DOMAIN_ABORT_JOB_POSTCOPY,)] * 2,
                         domain.called('abortJobFlags'))

    def test_a_job_that_does_not_end(self):
        domain, waited = fakes.Domain(jobStats={'type': libvirt.VIR_DOMAIN_JOB_UNBOUNDED}), []
        caught = self.assertRaises(exception.GuestError, guest_mod.MigratingGuest(
            domain).end_job, waited.append)
        self.assertIn('holds on to it', str(caught))
        self.assertAlmostEqual(guest_mod.ENDS_IN_S, sum(waited))

    def test_a_cap_of_zero_is_libvirts_unlimited(self):
        domain = fakes.Domain()
        guest_mod.MigratingGuest(domain).apply(remedies.SetBandwidth(0))
        self.assertEqual([(guest_mod.UNLIMITED_MIB_S, 0)], domain.called('migrateSetMaxSpeed'))

    def test_every_call_turns_every_libvirt_error_into_a_guest_error(self):
        kinds = {
            libvirt.VIR_ERR_NO_DOMAIN: exception.GuestGone,
            libvirt.VIR_ERR_OPERATION_INVALID: exception.JobGone,
            libvirt.VIR_ERR_OPERATION_UNSUPPORTED: exception.Unsupported,
            libvirt.VIR_ERR_INTERNAL_ERROR: exception.GuestError,
            libvirt.VIR_ERR_RPC: exception.GuestError,
        }
        for name, action in CALLS.items():
            for code, kind in kinds.items():
                migrating = guest_mod.MigratingGuest(fakes.Domain(**{name: fakes.error(code)}))
                caught = self.assertRaises(exception.GuestError, migrating.apply, action)
                self.assertIs(kind, type(caught))
                self.assertEqual(code, caught.code)
                self.assertIn(name, str(caught))

    def test_after_an_error_of_the_connection_the_domain_is_looked_up_again(self):
        for code, looks in ((libvirt.VIR_ERR_RPC, 2), (libvirt.VIR_ERR_INTERNAL_ERROR, 2),
                            (libvirt.VIR_ERR_OPERATION_INVALID, 1)):
            domain = fakes.Domain(suspend=[fakes.error(code), 0])
            migrating = guest_mod.MigratingGuest(domain)
            self.assertRaises(exception.GuestError, migrating.apply, remedies.Pause())
            migrating.apply(remedies.Pause())
            self.assertEqual(looks, domain.found)

    def test_a_libvirt_that_cannot_be_reached_is_a_guest_error(self):
        def find():
            raise fakes.error(libvirt.VIR_ERR_NO_CONNECT, 'no daemon')

        caught = self.assertRaises(
            exception.GuestError, guest_mod.MigratingGuest(find).apply, remedies.Abort())
        self.assertIn('no daemon', str(caught))

    def test_statistics_of_a_domain_that_has_gone_are_none(self):
        for code in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            migrating = guest_mod.MigratingGuest(fakes.Domain(jobStats=fakes.error(code)))
            self.assertIsNone(migrating.job_stats())
        migrating = guest_mod.MigratingGuest(
            fakes.Domain(jobStats=fakes.error(libvirt.VIR_ERR_RPC)))
        self.assertRaises(exception.GuestError, migrating.job_stats)

    def test_a_call_without_an_answer_is_seen_by_others(self):
        clock = fakes.Clock()
        seen = []

        def hang():
            for _ in range(3):
                seen.append(migrating.silence)
                clock.sleep(guest_mod.SILENT_S)
            return {}

        migrating = guest_mod.MigratingGuest(fakes.Domain(jobStats=hang), clock=clock)
        self.assertIsNone(migrating.silence)
        migrating.job_stats()
        began_s = fakes.Clock()()
        self.assertEqual([None, ('jobStats', began_s), ('jobStats', began_s)], seen)
        self.assertIsNone(migrating.silence)

    def test_statistics_that_are_no_mapping_are_none(self):
        self.assertIsNone(guest_mod.MigratingGuest(fakes.Domain(jobStats=-1)).job_stats())

    def test_a_throttle_needs_the_monitor_command(self):
        caught = self.assertRaises(
            exception.Unsupported,
            guest_mod.MigratingGuest(fakes.Domain()).apply, remedies.SetThrottle(40))
        self.assertIn('allow_qmp', str(caught))

    def test_a_throttle_never_starts_above_its_maximum(self):
        sent = []

        def qmp(_domain, command):
            sent.append(json.loads(command))
            return '{"return": {}}'

        for percent in (1, 15, 60, 99):
            guest_mod.MigratingGuest(fakes.Domain(), qmp).apply(remedies.SetThrottle(percent))
        for command in sent:
            arguments = command['arguments']
            self.assertLessEqual(
                arguments['cpu-throttle-initial'], arguments['max-cpu-throttle'])
        self.assertEqual([1, 15, 60, 99], [c['arguments']['max-cpu-throttle'] for c in sent])

    def test_qemus_refusal_and_a_garbled_answer_are_errors(self):
        for answer in ('{"error": {"desc": "no"}}', 'garbage', '[]', ''):
            migrating = guest_mod.MigratingGuest(
                fakes.Domain(), lambda _domain, _command, a=answer: a)
            self.assertRaises(
                exception.GuestError, migrating.apply, remedies.SetThrottle(40))

    def test_of_a_sparse_disk_counts_what_is_allocated(self):
        gib = 1 << 30
        for info, size in (([80 * gib, gib, gib], gib), ([80 * gib, 0, 0], 80 * gib),
                           ([80 * gib, 80 * gib, 80 * gib], 80 * gib),
                           ([80 * gib, 81 * gib, 81 * gib], 80 * gib)):
            self.assertEqual(size, guest_mod.MigratingGuest(
                fakes.Domain(blockInfo=[info])).disk_bytes(['/dev/a']), info)

    def test_the_size_of_disks_survives_one_that_is_not_known(self):
        domain = fakes.Domain(blockInfo=[
            [5 << 30, 0, 0], fakes.error(libvirt.VIR_ERR_INVALID_ARG), [1 << 30, 0, 0]])
        self.assertEqual(
            6 << 30, guest_mod.MigratingGuest(domain).disk_bytes(['/dev/a', '/x', '/y']))


class TellingTest(testtools.TestCase):
    """What a guest tells of itself before its migration."""

    @staticmethod
    def of(xml=None, said=None):
        return guest_mod.MigratingGuest(
            fakes.Domain(XMLDesc=xml), lambda domain, text: json.dumps(said))

    def test_its_definition(self):
        found = self.of('<domain><name>a &amp; b</name></domain>').definition()
        self.assertEqual('a & b', found.findtext('name'))
        for wrong in (None, '', 'no', '<domain>', fakes.error(libvirt.VIR_ERR_RPC)):
            error = self.assertRaises(exception.GuestError, self.of(wrong).definition)
            self.assertIn('XMLDesc', str(error))

    def test_the_version_of_its_qemu(self):
        version = {'qemu': {'major': 10, 'minor': 1, 'micro': 5}, 'package': ''}
        self.assertEqual(10_001_005, self.of(said={'return': version}).qemu_version())

    def test_an_answer_that_has_no_version(self):
        for said in ({'return': None}, {'return': {}}, {'return': {'qemu': None}},
                     {'return': {'qemu': {'major': 7, 'minor': 2}}},
                     {'return': {'qemu': {'major': '9' * 5000, 'minor': 2, 'micro': 0}}},
                     {'error': {'desc': 'no such command'}}, [], 'x'):
            error = self.assertRaises(
                exception.GuestError, self.of(said=said).qemu_version)
            self.assertIn('QEMU', str(error))
            self.assertLess(len(str(error)), 200)
