# SPDX-License-Identifier: Apache-2.0
"""What holds for each limit that QEMU is handed, whatever is promised and known of the link."""

import hypothesis
from hypothesis import strategies
import testtools

from nova_migpolicy.engine import record
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run

promises = strategies.integers(1, keys.KEYS['max_downtime_ms'].maximum)
caps = strategies.sampled_from([0, 1, 2, 5]) | strategies.integers(
    0, keys.KEYS['bandwidth_mib_s'].maximum)
rates = strategies.none() | strategies.floats(0.1, 1e6)


class TestLimit(testtools.TestCase):

    @hypothesis.given(promises, caps, rates, rates)
    def test_qemu_takes_it(self, promised_ms, cap, link, switchover):
        for known in (settings_mod.Link(link), settings_mod.Link(link, switchover)):
            limit = settings_mod.limit_ms(promised_ms, cap, known)
            self.assertIsInstance(limit, int)
            self.assertLessEqual(1, limit)
            self.assertLessEqual(limit, 2_000_000)

    @hypothesis.given(promises, caps, rates, rates)
    def test_what_a_limit_stands_for_is_what_was_promised(self, promised_ms, cap, link,
                                                          switchover):
        """A limit is whole, so that the promise is found again as closely as that permits."""
        known = settings_mod.Link(link, switchover)
        limit = settings_mod.limit_ms(promised_ms, cap, known)
        hypothesis.assume(1 < limit < settings_mod.HIGHEST_LIMIT_MS)
        found_ms = settings_mod.promised_ms(limit, cap, known)
        # Between the promises of this limit and of the next, but for the rounding to whole ms.
        self.assertLessEqual(settings_mod.limit_ms(max(1, found_ms - 1), cap, known), limit)
        self.assertGreaterEqual(settings_mod.limit_ms(found_ms + 1, cap, known), limit)
        self.assertLessEqual(found_ms, promised_ms + 1)
        self.assertGreaterEqual(settings_mod.promised_ms(limit + 1, cap, known), promised_ms - 1)

    @hypothesis.given(promises, promises, caps, rates)
    def test_qemu_takes_what_it_starts_with(self, initial_ms, max_ms, cap, link):
        policy = keys.Policy(initial_downtime_ms=initial_ms, max_downtime_ms=max_ms,
                             bandwidth_mib_s=cap)
        facts = record.Facts(1 << 30, 0, 0.0, link_mib_s=link, bandwidth_mib_s=cap)
        limit = settings_mod.initial_limit_ms(policy, facts)
        self.assertLessEqual(1, limit)
        self.assertLessEqual(limit, 2_000_000)

    @hypothesis.given(promises, strategies.sampled_from([1, 2, 10, 50]),
                      strategies.sampled_from([100.0, 1000.0, 10_000.0]))
    def test_a_guest_that_fits_into_the_promise_completes_within_it(self, promised_ms, cap, link):
        """A promise of any length under a small cap: nothing is refused, and it is kept."""
        hypothesis.assume(promised_ms >= 100)
        policy = keys.Policy(
            initial_downtime_ms=promised_ms, max_downtime_ms=promised_ms, bandwidth_mib_s=cap,
            max_bandwidth_mib_s=cap, remedies=('downtime',), on_stall='abort',
            timeout_seconds=0, timeout_seconds_per_gib=0)
        setup = precopy.Setup(guests.sweep(64, 1, cap / 4), link_mib_s=link)
        controller, plant = run.start(policy, setup, link_mib_s=link * 0.9)
        self.assertEqual(controller.settings.limit_ms, plant.limit_ms)
        seen = run.steer(controller, plant)
        self.assertEqual('completed', seen.end)
        self.assertLessEqual(seen.blackout_ms, 1.03 * promised_ms + 25)
