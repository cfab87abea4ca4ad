# SPDX-License-Identifier: Apache-2.0
"""The contest on the model: the oracle, what is measured, and what is made of it."""

import dataclasses
import pathlib
import tempfile

import testtools
from testtools import matchers

from bench.contest import command
from bench.contest import engines
from bench.contest import on_model
from bench.contest import oracle
from bench.contest import play
from bench.contest import result
from bench.contest import score as score_mod
from bench.contest import workloads
from bench import model_speed
from bench import report

WILD = {'name': 'wild', 'memory_mib': 2048, 'pattern': 'sweep', 'writable_set_mib': 512,
        'dirty_mib_s': 400, 'link_mib_s': 1000, 'link_known': True, 'bandwidth_mib_s': 200,
        'policy': {'timeout_seconds': 120, 'timeout_seconds_per_gib': 0}}


def workload(**more):
    [one] = workloads.parse([{**WILD, **more}], 'test', 1)
    return one


def a_result(engine='ours', seconds=10.0, end='completed', **more):
    return dataclasses.replace(result.Result(
        'one', engine, 1, end, 'nothing', seconds, 60.0, 100.0, 300, 0.1, 1000.0, 1000, 0, 3, (),
        ''), **more)


class TestOracle(testtools.TestCase):

    def took(self, **more):
        one = workload(**more)
        best = oracle.best(one)
        return oracle.took(best[0], one.task.policy) if best else None

    def test_the_least_harmful_class_that_arrives(self):
        self.assertEqual('nothing', self.took(dirty_mib_s=50))
        self.assertEqual('bandwidth', self.took())
        self.assertEqual('downtime', self.took(
            writable_set_mib=150, policy={'max_bandwidth_mib_s': 200}))
        self.assertEqual('post_copy', self.took(
            policy={'profile': 'post_copy', 'max_bandwidth_mib_s': 200}))
        self.assertEqual('pause', self.took(
            writable_set_mib=1500,
            policy={'profile': 'suspend_if_needed', 'max_bandwidth_mib_s': 200}))
        self.assertEqual('auto_converge', self.took(
            policy={'remedies': 'auto_converge', 'max_throttle_percent': 80}))
        self.assertIsNone(self.took(policy={'remedies': 'none'}))

    def test_no_engine_beats_it_in_its_class(self):
        one = workload()
        _, best = oracle.best(one)
        for name, engine in play.ENGINES.items():
            seen = on_model.play(one, engine(one.task))
            if seen.end == 'completed' and result.way_of(seen.actions) == 'bandwidth':
                self.assertThat(best.seconds, matchers.LessThan(seen.seconds + 0.11), name)

    def test_it_keeps_the_promise_and_the_deadline(self):
        one = workload(writable_set_mib=1000, policy={
            'max_downtime_ms': 100, 'max_bandwidth_mib_s': 0, 'timeout_seconds': 8,
            'timeout_seconds_per_gib': 0})
        best = oracle.best(one)
        if best is not None:
            self.assertThat(best[1].seconds, matchers.LessThan(8.0))
            self.assertThat(best[1].blackout_ms, matchers.LessThan(100.1))


class TestResult(testtools.TestCase):

    def test_it_survives_json(self):
        one = a_result(etas=(result.EtaError(1, True, 0.25),))
        self.assertEqual(one, result.Result.from_dict(one.to_dict()))

    def test_in_time_and_kept(self):
        self.assertTrue(a_result().in_time)
        self.assertFalse(a_result(seconds=61.0).in_time or a_result(end='aborted').in_time)
        self.assertTrue(a_result(seconds=61.0, deadline_s=None).in_time)
        self.assertFalse(a_result(blackout_ms=310.0).kept)
        self.assertFalse(a_result(way='pause').promised)

    def test_only_forecasts_that_nothing_came_between(self):
        one = workload(dirty_mib_s=150)
        seen = on_model.play(one, engines.ours(one.task))
        errors = {eta.number: eta for eta in result.eta_errors(seen)}
        self.assertEqual((), seen.actions)
        self.assertThat(errors[1].error, matchers.LessThan(0.15))
        acted = workload()
        seen = on_model.play(acted, engines.ours(acted.task))
        after = sum(1 for eta in seen.etas if eta.done == len(seen.applied))
        self.assertThat(len(result.eta_errors(seen)), matchers.LessThan(after + 1))


class TestScore(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.score = score_mod.Score([
            a_result('ours', 12.0), a_result('oracle', 10.0), a_result('nova', 15.0),
            a_result('kubevirt', 14.0, blackout_ms=400.0), a_result('vdsm_minimal', 80.0),
            a_result('auto_converge', 20.0, lost_s=8.0)])

    def test_the_best_peer_arrives_in_time_and_keeps_the_promise(self):
        [(ratio, _, best)] = self.score.against_peers()
        self.assertEqual((0.8, 'nova'), (ratio, best.engine))

    def test_ratios(self):
        self.assertEqual([1.2], [one for one, _, _ in self.score.against_oracle(
            'ours', 'seconds')])
        self.assertEqual((0, 1), self.score.outcome('vdsm_minimal'))
        self.assertEqual((0.1, 8.0, 1), self.score.lost('ours'))
        self.assertEqual((0, 1), self.score.kept('kubevirt'))

    def test_percentiles_by_the_nearest_rank(self):
        one = score_mod.spread(range(1, 101))
        self.assertEqual((50, 90, 95, 1, 100), (one.median, one.p90, one.p95, one.best,
                                                one.worst))
        self.assertEqual(0, score_mod.spread([]).count)

    def test_targets_say_what_was_missed(self):
        met = {one.name: one.met for one in score_mod.targets(self.score)}
        self.assertEqual((True, False, True), (
            met['finished in time when some permitted plan can'],
            met['total time ÷ oracle, median'],
            met['total time ÷ best peer that finishes, median']))
        self.assertIsNone(met['ETA error p90 after 1 pass'])


class TestSpeed(testtools.TestCase):

    def test_slowed_guests_take_an_hour_and_keep_their_proportions(self):
        one = model_speed.slowed(workload(dirty_mib_s=300, link_jitter=0.0))
        self.assertAlmostEqual(2048 / 3240, one.setup.link_mib_s)
        [[stretch]] = one.load.writers
        self.assertAlmostEqual(0.3, stretch.rate_mib_s / one.setup.link_mib_s)
        seen = on_model.play(one, model_speed.nobody(one.task), 7200.0)
        self.assertEqual('completed', seen.end)
        self.assertThat(abs(seen.seconds - 3600), matchers.LessThan(1400))


class TestReport(testtools.TestCase):

    def test_losses_stand_in_it(self):
        rows = [a_result('ours', 30.0), a_result('oracle', 10.0, plan='bandwidth'),
                a_result('nova', 15.0)]
        found = {'on': 'sim', 'workloads': 'full', 'seeds': [1], 'engines': ['ours'],
                 'command': 'python -m bench run', 'machine': {'processors': 2},
                 'results': [one.to_dict() for one in rows]}
        text = '\n'.join(report.contest(found))
        self.assertIn('| 2.00 | one | nothing, 30.0 s', text)
        self.assertIn('| bandwidth | 1 | 3.00', text)
        self.assertIn('**missed**', text)
        table = command.lines(found)
        self.assertTrue(any('MISSED' in line for line in table))
        self.assertThat(max(map(len, table)), matchers.LessThan(101))

    def test_the_picture(self):
        from bench.contest import plot
        one = workload()
        found = score_mod.Score(play.play(one, ('ours', 'nova', 'oracle', 'vdsm_minimal'), 1))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / 'page.png'
            plot.draw(found, path, 'a test')
            self.assertThat(path.stat().st_size, matchers.GreaterThan(20_000))
