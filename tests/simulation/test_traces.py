# SPDX-License-Identifier: Apache-2.0
"""The model against recordings of real migrations: libvirt and QEMU of Debian 12 and 13.

To record them again, as root: python -m bench record
"""

import testtools
from testtools import matchers

from tests.simulation import replay

WITHIN = 0.10
BLACKOUT_WITHIN, BLACKOUT_MS = 0.25, 20.0
# QEMU acts in windows of this, so a pass is no better known than to one of them.
WINDOW_S = 0.11
# Near the end of a convergence a page more or less makes a pass of a window more or less.
MOST_GAPS = 0.8
# At this throttle the guest's own clock is seen once in a second only.
SEEN_THROTTLE = 90


class TestRecordings(testtools.TestCase):
    """Each recording played again; a test fails when the model drifts away from them."""

    def setUp(self):
        super().setUp()
        self.cases = {name: (trace, replay.as_recorded(trace), replay.on_model(trace))
                      for name in replay.names() for trace in [replay.read(name)]}

    def check(self, problems):
        self.assertEqual([], problems)

    def test_there_are_enough_of_them(self):
        self.assertThat(len(self.cases), matchers.GreaterThan(11))
        flavours = {trace['versions']['flavour'] for trace, _, _ in self.cases.values()}
        self.assertEqual({'bookworm', 'trixie'}, flavours)
        kinds = {trace['guest']['kind'] for trace, _, _ in self.cases.values()}
        self.assertEqual({'idle', 'sweep', 'random', 'hotcold', 'bursts', 'phases'}, kinds)
        met = {name for trace, _, _ in self.cases.values()
               for name in ('written_mib_s', 'silent', 'beside') if trace['start'].get(name)}
        self.assertEqual({'written_mib_s', 'silent', 'beside'}, met)
        self.assertTrue(any(trace['guest'].get('untouched_mib')
                            for trace, _, _ in self.cases.values()))

    def test_they_end_alike(self):
        self.check([name for name, (_, real, mine) in self.cases.items()
                    if (real.end, abs(len(real.syncs) - len(mine.syncs)) < 2)
                    != (mine.end, True)])

    def test_total_time(self):
        self.check([(name, real.seconds, mine.seconds)
                    for name, (_, real, mine) in self.cases.items()
                    if abs(mine.seconds - real.seconds) > WITHIN * real.seconds])

    def test_bytes(self):
        self.check([(name, real.sent_mib, mine.sent_mib)
                    for name, (_, real, mine) in self.cases.items()
                    if abs(mine.sent_mib - real.sent_mib) > WITHIN * real.sent_mib])

    def test_the_gaps_between_passes(self):
        problems = []
        for name, (_, real, mine) in self.cases.items():
            pairs = list(zip(gaps(real), gaps(mine), strict=False))
            right = [abs(a - b) <= max(WITHIN * a, WINDOW_S) for a, b in pairs]
            apart = sum(abs(a - b) for a, b in pairs)
            if sum(right) < MOST_GAPS * len(right) or apart > WITHIN * sum(gaps(real)):
                problems.append((name, pairs))
        self.check(problems)

    def test_what_remains_after_each_pass(self):
        """What is read after a sync may be as low as what a burst of 0.1 s has sent by then."""
        problems = []
        for name, (trace, real, mine) in self.cases.items():
            burst = 0.1 * (trace['start']['bandwidth_mib_s'] or 100)
            for one, other in zip(real.syncs[:4], mine.syncs[:4], strict=False):
                if other is mine.syncs[-1] and mine.end == 'completed':
                    continue
                if one.number == 1 and not one.remaining_mib:
                    continue        # read before QEMU had its first figures
                if not one.remaining_mib - 2 <= 1.1 * other.remaining_mib + 1 or (
                        one.remaining_mib + burst < 0.9 * other.remaining_mib - 1):
                    problems.append((name, one, other))
        self.check(problems)

    def test_disks(self):
        """Also one that is written to while it is copied."""
        seen, problems = set(), []
        for name, (trace, _, _) in self.cases.items():
            sizes = trace['start']['disks_mib']
            if not sizes:
                continue
            seen.add(trace['start'].get('written_mib_s', 0) > 0)
            pairs = replay.disks_left(trace)
            self.assertThat(len(pairs), matchers.GreaterThan(1), name)
            if any(abs(real - mine) > WITHIN * sum(sizes) for real, mine in pairs):
                problems.append((name, pairs))
        self.assertEqual({True, False}, seen)
        self.check(problems)

    def test_blackouts(self):
        problems = []
        for name, (trace, real, mine) in self.cases.items():
            if real.blackout_ms is None or (
                    trace['end']['throttle_percent'] or 0) >= SEEN_THROTTLE:
                continue
            if abs(mine.blackout_ms - real.blackout_ms) > max(
                    BLACKOUT_WITHIN * real.blackout_ms, BLACKOUT_MS):
                problems.append((name, real.blackout_ms, mine.blackout_ms))
        self.check(problems)

    def test_throttle_steps(self):
        """At the right sync; where a pass is near a second, a step may be one sync late."""
        seen = 0
        problems = []
        for name, (_, real, mine) in self.cases.items():
            steps = [(one.number, one.throttle_percent, other.throttle_percent)
                     for one, other in zip(real.syncs, mine.syncs, strict=False)]
            seen += any(one for _, one, _ in steps)
            wrong = [step for step in steps if step[1] != step[2]]
            if len(wrong) > 0.06 * len(steps):
                problems.append((name, wrong))
        self.assertThat(seen, matchers.GreaterThan(2))
        self.check(problems)


def gaps(played):
    """Seconds from each sync to the next."""
    return [after.at_s - before.at_s
            for before, after in zip(played.syncs, played.syncs[1:], strict=False)]
