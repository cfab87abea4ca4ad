# SPDX-License-Identifier: Apache-2.0
"""Which lane takes which class."""

import testtools

import lanes


def job(name, seconds, stack='34', conf='', last=False):
    return lanes.Job(name, (f'{name}.test',), stack, conf, seconds, last)


def play(jobs, number, setup_s=30.0):
    """Let lanes take jobs as they would; each lane's names in order, and when the last is over."""
    queue = lanes.Queue(jobs, setup_s)
    clock = {f'lane {lane}': 0.0 for lane in range(number)}
    up = dict.fromkeys(clock)
    took = {lane: [] for lane in clock}
    over = 0.0
    while clock:
        lane = min(clock, key=clock.get)
        found = queue.take(lane)
        if found is None:
            over = max(over, clock.pop(lane))
            continue
        clock[lane] += found.seconds + setup_s * (found.stack != up[lane])
        up[lane] = found.stack
        took[lane].append(found.name)
    return took, over, queue.left()


class TestQueue(testtools.TestCase):

    def test_the_longest_comes_first(self):
        took, _, left = play([job('b', 20), job('c', 10), job('a', 30)], 1)
        self.assertEqual({'lane 0': ['a', 'b', 'c']}, took)
        self.assertEqual([], left)

    def test_each_class_is_taken_once(self):
        jobs = [job(f'{stack} {number}', 10 + number, stack) for stack in ('31', '34')
                for number in range(20)]
        took, over, left = play(jobs, 3)
        self.assertEqual(sorted(job.name for job in jobs), sorted(
            name for names in took.values() for name in names))
        self.assertEqual([], left)
        # Not far from what three lanes take at best.
        self.assertLess(over, sum(job.seconds for job in jobs) / 3 + 60 + 30)

    def test_a_lane_stays_with_its_stack(self):
        jobs = [job(f'{stack} {number}', 30, stack) for stack in ('31', '34')
                for number in range(4)]
        took, _, _ = play(jobs, 2)
        self.assertEqual({('31',), ('34',)}, {
            tuple(sorted({name.split()[0] for name in names})) for names in took.values()})

    def test_a_lane_stays_with_its_settings_where_the_times_are_close(self):
        jobs = [job('a', 30, conf='x'), job('b', 29, conf='y'), job('c', 28, conf='x'),
                job('d', 10, conf='x')]
        took, _, _ = play(jobs, 1)
        self.assertEqual(['a', 'c', 'b', 'd'], took['lane 0'])

    def test_nobody_makes_a_stack_for_less_than_it_takes(self):
        took, _, _ = play([job('a', 25), job('b', 25)], 2, setup_s=30)
        self.assertEqual([[], ['a', 'b']], sorted(took.values()))

    def test_another_lane_helps_with_what_takes_long(self):
        took, _, _ = play([job('a', 100), job('b', 90)], 2, setup_s=30)
        self.assertEqual([['a'], ['b']], sorted(took.values()))

    def test_a_stack_that_takes_a_lane_anyway_is_not_left_to_the_end(self):
        took, over, _ = play([job(name, 60) for name in 'abcd'] + [job('x', 20, '32')], 2)
        self.assertEqual('x', took['lane 1'][0])
        self.assertEqual(200.0, over)

    def test_what_ends_a_stack_comes_last_in_it(self):
        jobs = [job('down', 99, last=True), job('a', 10), job('other', 5, '31'), job('b', 20)]
        took, _, _ = play(jobs, 1)
        self.assertEqual(['b', 'a', 'down', 'other'], took['lane 0'])

    def test_nobody_makes_a_stack_to_end_it_where_there_is_one(self):
        took, _, left = play([job('a', 40), job('b', 40), job('down', 99, last=True)], 2,
                             setup_s=10)
        self.assertEqual([], left)
        self.assertEqual([['a', 'down'], ['b']], sorted(took.values()))


class TestHowMany(testtools.TestCase):

    def test_memory_and_processors_and_a_most(self):
        for expected, available_mib, cores in (
                (4, 22000, 2), (6, 64000, 16), (2, 22000, 1), (3, 8200, 4), (1, 3000, 8),
                (1, 500, 1)):
            self.assertEqual(expected, lanes.how_many(available_mib, cores, 2048, 2, 6),
                             (available_mib, cores))

    def test_half_a_lane_for_each_processor(self):
        self.assertEqual(1, lanes.how_many(64000, 3, 100, 0.5, 9))
