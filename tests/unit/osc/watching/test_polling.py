# SPDX-License-Identifier: Apache-2.0
"""The loop that watches: its pace, what it survives, and what ends it."""

from __future__ import annotations

import collections
import itertools

import testtools

from nova_migpolicy.osc import errors
from nova_migpolicy.osc import find
from nova_migpolicy.osc.watching import polling
from nova_migpolicy.osc.watching import status as status_mod
from tests.unit.osc import cases
from tests.unit.osc import cloud


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s

    def sleep(self, seconds):
        assert seconds > 0
        self.now_s += seconds


class Script:
    """A source that shows what it was told: for each server views or errors, the last repeated."""

    def __init__(self, clock, cost=2, **servers):
        self.clock, self.cost, self.asked = clock, cost, 0
        self.servers = servers
        self.looks = collections.defaultdict(list)

    def look(self, target):
        name = target.migration.server.name
        self.asked += self.cost
        self.looks[name].append(self.clock())
        views = self.servers[name]
        one = views.pop(0) if len(views) > 1 else views[0]
        if isinstance(one, Exception):
            raise one
        return [], one


class Screen:

    def __init__(self):
        self.lines, self.drawn = [], 0

    def say(self, watch, lines):
        self.lines.extend(f'{watch.name} {line.kind}: {line.text}' for line in lines)

    def draw(self, watches):
        self.drawn += 1


RUNS = cases.plugin()
DONE = status_mod.of_plugin(cloud.done()['progress'])
WAITS = cases.plugin(phase='waiting for a slot')


class FollowTest(testtools.TestCase):

    def follow(self, cost=2, **servers):
        self.clock, self.screen = Clock(), Screen()
        self.script = Script(self.clock, cost, **servers)
        targets = [polling.Target(find.Migration(find.Server(name, name), 7))
                   for name in servers]
        polling.follow(self.script, targets, self.screen, clock=self.clock,
                       sleep=self.clock.sleep)
        return [one.watch for one in targets]

    def test_one_is_looked_at_each_second_until_it_is_over(self):
        watch, = self.follow(a=[RUNS, RUNS, RUNS, DONE])
        self.assertEqual([0, 1, 2, 3], self.script.looks['a'])
        self.assertEqual((0, 4), (watch.exit_status, self.screen.drawn))

    def test_errors_that_pass_are_survived(self):
        watch, = self.follow(a=[RUNS, errors.Refused(503, 'down'), errors.Unreachable('gone'),
                                errors.Refused(500, 'oops'), RUNS, DONE])
        told = [line for line in self.screen.lines if 'trouble' in line]
        self.assertEqual(3, len(told))
        self.assertIn('down. No migration is touched', told[0])
        self.assertIn('a note: there are answers again', self.screen.lines)
        self.assertEqual(0, watch.exit_status)

    def test_errors_that_stay_are_given_up(self):
        watch, = self.follow(a=[RUNS, errors.Unreachable('gone')])
        self.assertEqual(polling.PATIENCE_S, self.clock() - 1)
        self.assertEqual(1, watch.exit_status)
        self.assertEqual(2, len([line for line in self.screen.lines if 'trouble' in line]))

    def test_what_cannot_pass_ends_it_at_once(self):
        for code in (403, 404):
            watch, = self.follow(a=[RUNS, errors.Refused(code, 'no')])
            self.assertEqual((1.0, 1, True), (self.clock(), watch.exit_status, watch.over))

    def test_a_hundred_servers_share_a_bounded_number_of_requests(self):
        servers = {f's{number}': [WAITS] * 3 + [RUNS] * 3 + [DONE] for number in range(100)}
        watches = self.follow(**servers)
        self.assertEqual({0}, {watch.exit_status for watch in watches})
        looks = sorted(at_s for one in self.script.looks.values() for at_s in one)
        self.assertEqual(700, len(looks))
        for begin_s in looks:
            asked = 2 * len([one for one in looks if begin_s <= one < begin_s + 10])
            self.assertLessEqual(asked, 10 * polling.REQUESTS_PER_S + 2)
        # None of them is left waiting much longer than the others.
        waits = [later - earlier for one in self.script.looks.values()
                 for earlier, later in itertools.pairwise(one)]
        self.assertLess(max(waits), 100 * 2 / polling.REQUESTS_PER_S + 2 * polling.WAITING_EVERY_S)

    def test_those_that_wait_are_looked_at_less_often(self):
        self.follow(a=[WAITS, WAITS, DONE], b=[RUNS] * 8 + [DONE])
        self.assertEqual(3, len(self.script.looks['a']))
        self.assertEqual(9, len(self.script.looks['b']))
        self.assertGreaterEqual(self.script.looks['a'][1], polling.WAITING_EVERY_S)

    def test_the_worst_outcome_counts(self):
        for statuses, worst in (([0, 0], 0), ([0, 3, 1], 3), ([3, 4, 0], 4), ([4, 5, 3, 1], 5),
                                ([1, 0], 1), ([], 0)):
            self.assertEqual(worst, polling.worst(statuses), statuses)
