# SPDX-License-Identifier: Apache-2.0
"""What a migration shows of the link, and what is believed of it."""

import dataclasses

import testtools

from nova_migpolicy.engine.estimation import link_rate
from nova_migpolicy.engine.estimation import passes as passes_mod
from nova_migpolicy.engine import samples
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import sampling
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run
from tests.unit.engine.estimation import curves

MIB = 1 << 20
NOW = 1_000_000.0


class TestLinkRate(testtools.TestCase):

    @staticmethod
    def of_zeros(share):
        """A pass of which only a share went over the wire."""
        found = curves.went(0, 5, 100, rate=200, cap=0)
        return dataclasses.replace(found, wire_bytes=int(share * found.sent_bytes))

    def test_an_uncapped_pass(self):
        went = curves.went
        self.assertThat(link_rate.from_pass(went(0, 5, 100, rate=200, cap=0)),
                        curves.near(180, 0.01))
        for useless in (went(0, 5, 100, cap=50), went(1, 0.1, 5, rate=200, cap=0),
                        went(1, 2, 1, rate=1, cap=0), went(1, 5, 100, cap=0, steady=False),
                        self.of_zeros(0.8)):
            self.assertIsNone(link_rate.from_pass(useless))

    def test_a_pass_that_was_seen_late_counts_as_long_as_it_may_have_been(self):
        """A host that was busy for 0.6 s before a pass of 1 s was looked at."""
        tracker, rate = passes_mod.Tracker(), 100
        looks = [(0.0, 0.0, True, 1000), (10.0, 0.0, True, 1000 - 10 * rate + 100),
                 (11.0, 0.6, True, 100)]
        for number, (at_s, took_s, boundary, left) in enumerate(looks):
            done = int(rate * (at_s - took_s)) * MIB
            tracker.observe(samples.Sample(
                at_s=at_s, took_s=took_s, boundary=boundary, iteration=number + 1,
                memory_total_bytes=1000 * MIB, memory_processed_bytes=done,
                memory_sent_bytes=done, memory_remaining_bytes=left * MIB),
                threshold_bytes=0, cap_mib_s=0, changed_s=0.0)
        tracker.observe(samples.Sample(
            at_s=11.6, boundary=True, iteration=4, memory_total_bytes=1000 * MIB,
            memory_processed_bytes=1160 * MIB, memory_sent_bytes=1160 * MIB,
            memory_remaining_bytes=100 * MIB), threshold_bytes=0, cap_mib_s=0, changed_s=0.0)
        late = tracker.passes[-1]
        self.assertEqual((120 * MIB, 120 * MIB), (late.wire_bytes, late.told.wire_bytes))
        self.assertThat(late.told.longest_s, curves.near(1.2, 0.01))
        self.assertThat(late.wire_rate / MIB, curves.near(200, 0.01))
        self.assertThat(link_rate.from_pass(late), curves.near(87, 0.01))

    def test_what_may_wait_in_a_socket_has_not_gone_over_the_link(self):
        # 50 MiB went in half a second, and the socket was empty before it.
        one = curves.went(1, 0.5, 5, rate=108, cap=0)
        self.assertThat(link_rate.from_pass(one), curves.near(90, 0.01))
        # So did 12 MiB of 16 in a switchover of 0.12 s.
        self.assertThat(self.of_switchover(16 * MIB, 0.12, 0, 119),
                        curves.near(100, 0.01))

    def guessed(self, *looks):
        """The last pass of looks: when it began, when that was told, MiB by then, its rate."""
        tracker = passes_mod.Tracker()
        for number, (began_s, told_s, done, rate) in enumerate(looks, 1):
            tracker.observe(sampling.at_boundary(
                samples.Sample(
                    at_s=told_s, memory_total_bytes=1000 * MIB, memory_processed_bytes=done * MIB,
                    memory_remaining_bytes=(1000 if number == 1 else 100) * MIB,
                    memory_rate_bytes_s=rate * MIB, page_size_bytes=4096),
                inbox_mod.PassStarted(began_s, number)),
                threshold_bytes=0, cap_mib_s=0, changed_s=0.0)
        return tracker.passes[-1]

    def test_what_is_guessed_of_a_pass_counts_for_nothing(self):
        # Its begin was looked at late, and the rate of just before was far too high.
        late = self.guessed((0.0, 0.0, 0, 0), (10.0, 10.2, 1000, 300), (11.0, 11.0, 1080, 0))
        self.assertThat(late.wire_rate / MIB, curves.near(140, 0.01))
        self.assertThat(link_rate.from_pass(late), curves.near(85.5, 0.01))
        # Its end was, and the rate of just before was far too low.
        late = self.guessed((0.0, 0.0, 0, 0), (10.0, 10.0, 1000, 0), (11.0, 11.7, 1170, 1))
        self.assertThat(late.wire_rate / MIB, curves.near(169, 0.01))
        self.assertThat(link_rate.from_pass(late), curves.near(87.9, 0.01))

    @staticmethod
    def of_switchover(sent, seconds, cap, downtime, **of_last):
        """What a switchover shows after a sample of 500 MiB, at 10 s."""
        last = samples.Sample(at_s=10.0, memory_processed_bytes=500 * MIB, **of_last)
        return link_rate.from_switchover(
            last, 500 * MIB + sent, 10.0 + seconds, cap, downtime)

    def test_a_switchover(self):
        # 1.5 s at 50 MiB/s and then 0.5 s at 200 MiB/s, beside what a socket may hold.
        self.assertThat(self.of_switchover(179 * MIB, 2.0, 50, 500),
                        curves.near(200, 0.01))
        self.assertThat(self.of_switchover(404 * MIB, 2.0, 0, 500),
                        curves.near(200, 0.01))

    def test_a_switchover_after_a_sample_that_was_told_late(self):
        # What was sent in the second that libvirt took may be among it.
        self.assertThat(self.of_switchover(404 * MIB, 1.0, 0, 500, took_s=1.0),
                        curves.near(200, 0.01))

    def test_a_switchover_after_a_sample_of_which_much_is_guessed(self):
        # It was told at 11 s, when 600 MiB were sent.
        self.assertThat(self.of_switchover(304 * MIB, 2.0, 0, 500, moved_s=1.0,
                                           moved_bytes=100 * MIB),
                        curves.near(200, 0.01))

    def test_a_switchover_that_says_nothing(self):
        for sent, seconds, cap, downtime in (
                (80 * MIB, 2.0, 50, 500), (175 * MIB, 2.0, 50, 5), (175 * MIB, 0.1, 50, 500),
                (0, 2.0, 0, 500),
                # A little more than the cap is what QEMU sends now and then.
                (5020 * MIB, 5.02, 1000, 20)):
            self.assertIsNone(self.of_switchover(sent, seconds, cap, downtime))

    def test_a_server_that_used_little_of_its_memory_shows_nothing(self):
        for zero_mib in (0, 30_000, 61_440, 64_000):
            controller, plant = run.start(
                keys.Policy(bandwidth_mib_s=0, timeout_seconds=0, timeout_seconds_per_gib=0),
                precopy.Setup(guests.idle(65_536, zero_mib=zero_mib), link_mib_s=1100))
            self.assertEqual('completed', run.steer(controller, plant).end)
            seen = [rate for rate in map(link_rate.from_pass, controller.passes) if rate]
            self.assertEqual([], [rate for rate in seen if rate < 550], zero_mib)


class TestBelief(testtools.TestCase):

    def believe(self, *seen, now_s=NOW):
        """What is believed after (server, rate, whether it is a bound), each a second later."""
        known = ()
        for number, (server, rate, is_bound) in enumerate(seen):
            known = link_rate.keep(known, link_rate.Observation(
                server, rate, NOW - len(seen) + number, is_bound))
        return link_rate.believe(known, now_s)

    def test_nothing(self):
        self.assertIsNone(self.believe())

    def test_one(self):
        found = self.believe(('a', 900.0, False))
        self.assertEqual((900.0, 900.0), (found.low_mib_s, found.reach_mib_s))

    def test_one_server_cannot_bring_down_what_was_seen_of_another(self):
        seen = [('dense', 1000.0, False)] + [('sparse', 62.0, False)] * 10
        found = self.believe(*seen)
        self.assertEqual((1000.0, 1000.0), (found.low_mib_s, found.reach_mib_s))
        # Two that agree can: the link may have become slower.
        found = self.believe(*seen, ('other', 100.0, False))
        self.assertEqual((100.0, 1000.0), (found.low_mib_s, found.reach_mib_s))

    def test_a_server_is_believed_as_it_was_last(self):
        found = self.believe(('a', 1000.0, False), ('a', 300.0, False))
        self.assertEqual(300.0, found.low_mib_s)

    def test_a_switchover_brings_nothing_down(self):
        found = self.believe(('a', 1000.0, False), ('b', 13.0, True), ('c', 63.0, True))
        self.assertEqual(1000.0, found.low_mib_s)
        found = self.believe(('b', 13.0, True), ('c', 63.0, True), ('d', 204.0, True))
        self.assertEqual((204.0, 204.0), (found.low_mib_s, found.reach_mib_s))

    def test_what_is_old_is_forgotten(self):
        for now_s in (NOW + link_rate.KEPT_S, NOW - link_rate.KEPT_S - 1):
            self.assertIsNone(self.believe(('a', 900.0, False), now_s=now_s))
        known = ()
        for number in range(20):
            known = link_rate.keep(known, link_rate.Observation(f'{number}', 10.0, NOW + number))
        self.assertEqual([f'{number}' for number in range(12, 20)], [one.server for one in known])
        # A clock that was set back does not keep it for ever.
        new = link_rate.Observation('new', 10.0, NOW - link_rate.KEPT_S)
        self.assertEqual((new,), link_rate.keep(known, new))
