# SPDX-License-Identifier: Apache-2.0
"""How the plan gets into the migrate call."""

from __future__ import annotations

import libvirt
import testtools

from nova_migpolicy.compute import operation
from nova_migpolicy.compute import plan
from nova_migpolicy.monitor import outcome
from nova_migpolicy.policy import keys
from tests.unit.compute import test_plan
from tests.unit.monitor import fakes


class Domain:
    """Keeps the parameters of each call, and fails as it is told to."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.seen = []

    def migrateToURI3(self, destination, params, flags):
        self.seen.append(dict(params))
        error = self.errors.pop(0) if self.errors else None
        if error:
            raise error
        return 0


class PlannedDomainTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.call = outcome.Call()
        self.plan = plan.make(keys.Policy(bandwidth_mib_s=50), plan.dataclasses.replace(
            test_plan.BASE, libvirt_version=11_003_000, qemu_version=10_000_000,
            link_mib_s=80.0))

    def migrate(self, domain):
        planned = operation.PlannedDomain(domain, self.plan, self.call)
        planned.migrateToURI3('qemu+tcp://there/system', params={'bandwidth': 1}, flags=0)

    def test_the_plan_is_used_once(self):
        domain = Domain()
        self.migrate(domain)
        self.assertEqual([80], [params[plan.SWITCHOVER_PARAM] for params in domain.seen])
        self.assertTrue(self.call.started)
        self.assertFalse(self.call.switchover_refused)

    def test_an_older_destination_gets_the_call_without_the_link(self):
        domain = Domain(fakes.error(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED))
        self.migrate(domain)
        self.assertEqual([True, False],
                         [plan.SWITCHOVER_PARAM in params for params in domain.seen])
        self.assertTrue(self.call.switchover_refused)

    def test_any_other_error_and_a_second_one_are_errors(self):
        for errors, calls in (([libvirt.VIR_ERR_OPERATION_FAILED], 1),
                              ([libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED] * 2, 2)):
            domain = Domain(*(fakes.error(code) for code in errors))
            self.assertRaises(libvirt.libvirtError, self.migrate, domain)
            self.assertEqual(calls, len(domain.seen))
