# SPDX-License-Identifier: Apache-2.0
"""How the plan gets into the migrate call, and the call again without what was refused."""

from __future__ import annotations

import dataclasses

import libvirt
import testtools

from nova_migpolicy.compute import fits
from nova_migpolicy.compute import migrate_call
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
