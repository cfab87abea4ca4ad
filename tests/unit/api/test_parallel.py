# SPDX-License-Identifier: Apache-2.0
"""Doing one thing to many at once: how many, for whom, and until when.

No test looks at how long anything takes: jobs meet each other, or wait until they are let go.
"""

import threading

import testtools

from nova_migpolicy.api import parallel

# Nobody waits for so long unless something is wrong.
LONG_S = 30.0
BOUNDS = parallel.Bounds(at_once=6, per_host=3, begin_s=LONG_S, answer_s=LONG_S)


class TestParallel(testtools.TestCase):

    def run_all(self, jobs, do, bounds=BOUNDS, **more):
        """Jobs are pairs of a host and a name."""
        return parallel.run(jobs, lambda job: job[0], do, bounds, **more)

    def test_each_result_stands_in_the_place_of_its_job(self):
        jobs = [(f'n{number % 3}', number) for number in range(20)]
        found = self.run_all(jobs, lambda job: job[1] * 2)
        self.assertEqual([parallel.Done(number * 2) for number in range(20)], found)
        self.assertEqual([], self.run_all([], lambda job: job))

    def most_at_once(self, jobs, wanted, bounds=BOUNDS):
        """Run jobs each of which waits for so many at once; the most that were under way."""
        together = threading.Barrier(wanted)
        running, most = set(), []

        def do(job):
            running.add(job)
            together.wait(LONG_S)
            most.append(len(running))
            # None goes on to its next before all have counted.
            together.wait(LONG_S)
            running.discard(job)

        found = self.run_all(jobs, do, bounds)
        self.assertEqual([parallel.Done(None)] * len(jobs), found)
        return max(most)

    def test_several_of_a_host_at_once_and_no_more(self):
        jobs = [('n1', number) for number in range(9)]
        self.assertEqual(BOUNDS.per_host, self.most_at_once(jobs, BOUNDS.per_host))

    def test_no_more_than_so_many_in_all(self):
        jobs = [(f'n{number}', number) for number in range(50)]
        self.assertEqual(2, self.most_at_once(
            jobs, 2, parallel.Bounds(2, 3, LONG_S, LONG_S)))

    def test_a_host_that_hangs_leaves_the_others_their_share(self):
        go_on, others = threading.Event(), threading.Semaphore(0)

        def do(job):
            if job[0] == 'hangs':
                if not go_on.wait(LONG_S):
                    raise TimeoutError
            else:
                others.release()

        def release():
            for _ in range(20):
                others.acquire(timeout=LONG_S)
            go_on.set()

        self.addCleanup(threading.Thread.join, self.spawn(release))
        jobs = [('hangs', number) for number in range(50)] + [
            (f'n{number}', number) for number in range(20)]
        self.assertEqual([parallel.Done(None)] * 70, self.run_all(jobs, do))

    def spawn(self, do):
        thread = threading.Thread(target=do, daemon=True)
        thread.start()
        return thread

    def test_nothing_begins_when_the_time_for_that_is_over(self):
        now_s = [0.0]

        def do(job):
            now_s[0] += 1.0

        found = self.run_all([('n1', number) for number in range(5)], do,
                             parallel.Bounds(1, 1, 3.0, LONG_S), clock=lambda: now_s[0])
        self.assertEqual([parallel.Done(None)] * 3 + [parallel.NOT_BEGUN] * 2, found)

    def test_what_has_not_answered_is_told_apart_from_what_has_not_begun(self):
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        begun = []

        def do(job):
            begun.append(job)
            go_on.wait(LONG_S)

        jobs = [('n1', number) for number in range(3)]
        # Time passes by itself, and by nothing else.
        found = self.run_all(jobs, do, parallel.Bounds(2, 2, 0.2, 0.3))
        self.assertEqual(found.count(parallel.BEGUN), len(begun))
        self.assertEqual({parallel.BEGUN, parallel.NOT_BEGUN}, set(found))
        # What is let go later begins nothing more.
        threads = [one for one in threading.enumerate() if one.name.startswith('migpolicy-')]
        go_on.set()
        for thread in threads:
            thread.join(LONG_S)
        self.assertEqual(found.count(parallel.BEGUN), len(begun))

    def test_one_that_raises_is_told_and_stops_no_other(self):
        def do(job):
            if job[1] == 1:
                raise ValueError('no')
            return job[1]

        first, wrong, last = self.run_all([('n1', number) for number in range(3)], do)
        self.assertEqual((parallel.Done(0), parallel.Done(2)), (first, last))
        self.assertIsInstance(wrong.error, ValueError)
