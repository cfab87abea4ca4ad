# SPDX-License-Identifier: Apache-2.0
"""What is measured of a server before its migration, and that nothing hangs on it."""

import libvirt
import testtools

from nova_migpolicy.compute import dirty_rate
from nova_migpolicy.monitor import guest as guest_mod
from tests.unit.monitor import fakes

MIB = 1 << 20
MEASURED = {'dirtyrate.calc_status': libvirt.VIR_DOMAIN_DIRTYRATE_MEASURED,
            'dirtyrate.calc_period': 1, 'dirtyrate.megabytes_per_second': 70}


class Connection:

    def __init__(self, stats):
        self.stats = stats

    def domainListGetStats(self, domains, stats, flags):
        self.asked = domains
        if isinstance(self.stats, Exception):
            raise self.stats
        return [] if self.stats is None else [(domains[0], self.stats)]


class TestMeasurements(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.now_s = 0.0
        self.slept = []
        self.found = dirty_rate.Measurements(lambda: self.now_s, self.slept.append)

    def take(self, stats=MEASURED, begin=None, wait_s=2.0):
        domain = fakes.Domain(startDirtyRateCalc=begin, connect=Connection(stats))
        one = guest_mod.MigratingGuest(lambda: domain, uuid='a')
        self.found.begin(one)
        self.now_s += wait_s
        return self.found.take(one)

    def test_what_was_measured(self):
        self.assertEqual(70 * MIB, self.take())

    def test_it_waits_for_the_rest_of_the_second_and_no_longer(self):
        self.take(wait_s=0.4)
        self.take(wait_s=1.2)
        [slept_s] = self.slept
        self.assertAlmostEqual(0.7, slept_s)

    def test_libvirt_is_handed_its_own_domain_and_no_proxy_of_it(self):
        class Proxy:
            _obj = 'the domain'

            def connect(self):
                return connection

        connection = Connection(MEASURED)
        self.assertEqual(70 * MIB, guest_mod.MigratingGuest(Proxy).measured())
        self.assertEqual(['the domain'], connection.asked)

    def test_once(self):
        self.take()
        self.assertIsNone(self.found.take(guest_mod.MigratingGuest(fakes.Domain, uuid='a')))

    def test_nobody_waits_for_one_that_is_not_over(self):
        self.assertIsNone(self.take({**MEASURED, 'dirtyrate.calc_status':
                                     libvirt.VIR_DOMAIN_DIRTYRATE_MEASURING}))

    def test_an_old_one_does_not_count(self):
        self.assertIsNone(self.take(wait_s=301.0))

    def test_what_libvirt_cannot_do_is_no_trouble(self):
        refused = fakes.error(libvirt.VIR_ERR_NO_SUPPORT)
        self.assertIsNone(self.take(begin=refused))
        self.assertIsNone(self.take(refused))
        self.assertIsNone(self.take(None))

    def test_strange_answers(self):
        for change in ({'dirtyrate.megabytes_per_second': -1}, {'dirtyrate.calc_period': 60},
                       {'dirtyrate.megabytes_per_second': 'many'}):
            self.assertIsNone(self.take({**MEASURED, **change}))
        self.assertIsNone(self.take({}))

    def test_those_that_were_never_taken_are_forgotten(self):
        for number in range(50):
            self.now_s = 100.0 * number
            self.found.begin(guest_mod.MigratingGuest(
                lambda: fakes.Domain(startDirtyRateCalc=None), uuid=str(number)))
        self.assertEqual(4, len(self.found._begun_s))
