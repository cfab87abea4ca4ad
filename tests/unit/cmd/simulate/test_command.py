# SPDX-License-Identifier: Apache-2.0
"""What comes out: the table, JSON, the verdicts, and that the engine itself decided."""

from __future__ import annotations

import builtins
import dataclasses
import io
import json

import fixtures

from nova_migpolicy.cmd.simulate import policies
from nova_migpolicy.cmd.simulate import report
from nova_migpolicy.cmd.simulate import trial as trial_mod
from nova_migpolicy.compute import migrate_call
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import profiles
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run
from tests.unit.cmd import base

CAPPED = (*base.SERVER, '--set', 'bandwidth_mib_s=200', '--set', 'max_bandwidth_mib_s=600')
ALL = tuple(word for name in profiles.BUILT_IN for word in ('--profile', name))


def flat(text):
    return ' '.join(text.split())


class SimulateTest(base.CommandTest):

    def test_the_table(self):
        out = self.simulate(*CAPPED, *ALL)
        lines = out.splitlines()
        self.assertTrue(all(len(line) <= 100 for line in lines), out)
        head = next(line for line in lines if line.startswith('policy'))
        self.assertEqual(['policy', 'outcome', 'time', 'deadline', 'blackout', 'promised',
                          'lost', 'work', 'sent', 'passes'], head.split())
        for name in profiles.BUILT_IN:
            self.assertEqual(1, sum(line.startswith(name + '  ') for line in lines), name)
        self.assertIn("nova is Nova's own loop (profile nova), which is not simulated", flat(out))
        self.assertIn('python -m bench', flat(out))

    def test_narrow_terminals(self):
        for columns in ('40', '60', '80'):
            self.useFixture(fixtures.EnvironmentVariable('COLUMNS', columns))
            out = self.simulate(*CAPPED, *ALL)
            self.assertTrue(all(len(line) <= max(60, int(columns))
                                for line in out.splitlines()), out)

    def test_the_sentences_are_the_engines(self):
        load = guests.uniform(4096, 1024, 900)
        policy = dataclasses.replace(keys.Policy(), bandwidth_mib_s=200, max_bandwidth_mib_s=600)
        ours = run.steer(*run.start(
            policy, precopy.Setup(load, link_mib_s=1100, age_s=1.0), link_mib_s=1100.0,
            can_hurry_disks=True, dirtied_bytes=int(load.unique_mib(1.0) * 2 ** 20)))
        found = self.as_json(*CAPPED)['policies'][0]
        self.assertEqual([one.to_dict() for one in ours.decisions], found['decisions'])
        self.assertEqual((ours.end, ours.wire_bytes, ours.passes),
                         (found['outcome'], found['wire_bytes'], found['passes']))
        self.assertGreater(len(ours.decisions), 0)
        out = flat(self.simulate(*CAPPED))
        for decision in ours.decisions:
            self.assertIn(decision.reason, out)

    def test_the_shape_of_json(self):
        found = self.as_json(*CAPPED, '--profile', 'post_copy', '--profile', 'nova')
        self.assertEqual({'guest', 'disk_mib', 'link_mib_s', 'link_known', 'qemu', 'seed',
                          'jitter_percent', 'notes', 'policies'}, set(found))
        ours, stock = found['policies']
        self.assertEqual(
            {'policy', 'outcome', 'verdict', 'total_seconds', 'deadline_seconds', 'blackout_ms',
             'max_downtime_ms', 'lost_cpu_seconds', 'wire_bytes', 'passes', 'decisions', 'values',
             'origins', 'warnings'}, set(ours))
        self.assertEqual(set(keys.KEYS), set(ours['values']))
        self.assertIsNone(stock['outcome'])
        self.assertNotIn('total_seconds', stock)

    def test_the_same_again(self):
        wavering = (*CAPPED, '--jitter', 10, '--seed', 3)
        self.assertEqual(self.simulate(*wavering), self.simulate(*wavering))
        self.assertNotEqual(self.as_json(*wavering)['policies'],
                            self.as_json(*CAPPED, '--jitter', 10, '--seed', 4)['policies'])

    def test_verdicts(self):
        heavy = ('--memory-mib', 4096, '--writable-set-mib', 2048, '--dirty-mib-s', 4000)
        for words, sentence in (
                (('--memory-mib', 1024), 'completes by itself in '),
                (heavy, 'before its deadline: the server stays where it is, and '),
                ((*heavy, '--profile', 'post_copy'), 'the server moves first, with a blackout'),
                ((*heavy, '--profile', 'suspend_if_needed'),
                 'since a pause is outside of max_downtime_ms (500 ms)'),
                ((*heavy, '--set', 'on_stall=continue', '--set', 'on_timeout=continue',
                  '--set', 'timeout_seconds=60', '--set', 'timeout_seconds_per_gib=0'),
                 's, past its deadline, with '),
        ):
            self.assertIn(sentence, flat(self.simulate(*words)))

    def test_it_does_not_go_round_for_ever(self):
        self.useFixture(fixtures.MonkeyPatch('nova_migpolicy.cmd.simulate.trial.MOST_PASSES', 50))
        out = flat(self.simulate(
            '--memory-mib', 64, '--writable-set-mib', 32, '--dirty-mib-s', 9000,
            '--set', 'on_stall=continue', '--set', 'max_downtime_ms=1'))
        self.assertIn('the simulation stopped after 50 passes', out)
        self.assertIn('runs on', out)

    def test_hosts(self):
        found = self.as_json(*CAPPED, '--disk-mib', 2048, '--qemu', '10.0', '--until-seconds', 5)
        self.assertEqual(('10.0', 2048), (found['qemu'], found['disk_mib']))
        self.assertEqual(('running', 5.0), (found['policies'][0]['outcome'],
                                            found['policies'][0]['total_seconds']))
        # Told the link's rate, QEMU needs no limit that is scaled.
        told = self.as_json(*CAPPED, '--qemu', '10.0')['policies'][0]['decisions']
        self.assertNotIn('set_max_downtime', [
            action['action'] for action in told[0]['actions']])
        unknown = self.simulate(*CAPPED, '--no-link-known')
        self.assertIn('that the engine does not know the rate of', flat(unknown))

    def test_profiles_of_a_file(self):
        path = self.folder / 'profiles.yaml'
        path.write_text('gentle: {based_on: balanced, max_downtime_ms: 111}\n')
        found = self.as_json(*base.SERVER, '--profiles-file', path, '--profile', 'gentle')
        self.assertEqual(111, found['policies'][0]['max_downtime_ms'])

    def test_what_is_made_ready_is_what_compute_makes_ready(self):
        circumstances = migrate_call.Circumstances(
            paused=False, persistent_memory=False, tunnelled=False,
            nova_post_copy=False, allow_qmp=True, libvirt_version=9_000_000,
            qemu_version=7_002_000)
        for name in profiles.BUILT_IN:
            for connections in (1, 4):
                case = policies.of_profile(name, profiles.BUILT_IN, {
                    'parallel_connections': connections})
                made = migrate_call.make(case.policy, circumstances)
                self.assertEqual((made.can_post_copy, made.can_throttle),
                                 (trial_mod.made_ready(case)[0], case.policy.may_throttle), name)

    def test_what_the_model_leaves_out_is_said(self):
        out = flat(self.simulate(*base.SERVER, '--profile', 'post_copy', '--set',
                                 'parallel_connections=2', '--set', 'compression=zstd'))
        self.assertIn('note: post_copy is left out', out)
        self.assertIn('note: compression zstd is not simulated', out)

    def test_without_rich(self):
        lines = [report.Line('one', 'bold'), report.Line('two [red]', '')]
        blocked, real = io.StringIO(), builtins.__import__

        def refuse(name, *args, **more):
            if name.partition('.')[0] == 'rich':
                raise ImportError(name)
            return real(name, *args, **more)

        with fixtures.MonkeyPatch('builtins.__import__', refuse):
            report.show(lines, blocked)
        out = io.StringIO()
        report.show(lines, out)
        self.assertEqual('one\ntwo [red]\n', out.getvalue())
        self.assertEqual(out.getvalue(), blocked.getvalue())

    def test_json_is_json(self):
        json.loads(self.simulate('--memory-mib', 64, '-f', 'json'),
                   parse_constant=self.fail)
