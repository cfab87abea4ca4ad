# SPDX-License-Identifier: Apache-2.0
"""The picture, and what it is drawn from."""

from __future__ import annotations

import sys

import fixtures

from nova_migpolicy.cmd.simulate import guest_options
from nova_migpolicy.cmd.simulate import plot
from nova_migpolicy.cmd.simulate import policies
from nova_migpolicy.cmd.simulate import trial as trial_mod
from nova_migpolicy.policy import profiles
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from tests.unit.cmd import base

try:
    import matplotlib
except ImportError:
    matplotlib = None

PNG = b'\x89PNG'


def tried(profile, load, **request):
    scene = trial_mod.Scene(guest_options.Guest('', load, ''), 0, 400.0)
    return trial_mod.play(policies.of_profile(profile, profiles.BUILT_IN, request), scene)


class PictureTest(base.CommandTest):

    def test_a_file_is_made(self):
        if matplotlib is None:
            self.skipTest('matplotlib is not installed')
        path = self.folder / 'plot.png'
        for names in (('balanced',), ('balanced', 'post_copy', 'suspend_if_needed', 'nova')):
            path.unlink(missing_ok=True)
            words = [word for name in names for word in ('--profile', name)]
            out = self.simulate('--memory-mib', 2048, '--writable-set-mib', 1024, '--dirty-mib-s',
                                9000, *words, '--plot', path)
            self.assertIn('balanced is aborted', out)
            self.assertTrue(path.read_bytes().startswith(PNG))

    def test_without_matplotlib(self):
        self.useFixture(fixtures.MonkeyPatch('builtins.__import__', self.refuse(__import__)))
        hidden = {name: module for name, module in sys.modules.items()
                  if name.partition('.')[0] == 'matplotlib'}
        self.addCleanup(sys.modules.update, hidden)
        for name in hidden:
            del sys.modules[name]
        self.assertIn("pip install 'nova_migpolicy[simulate]'", self.refused(
            '--memory-mib', 64, '--plot', self.folder / 'a.png'))

    @staticmethod
    def refuse(real):
        def load(name, *args, **more):
            if name.partition('.')[0] == 'matplotlib':
                raise ImportError(name)
            return real(name, *args, **more)
        return load

    def test_nothing_to_draw(self):
        self.assertIn('nothing to draw', self.refused(
            '--memory-mib', 64, '--profile', 'nova', '--plot', self.folder / 'a.png'))

    def test_what_remains_is_kept_over_time(self):
        found = tried('balanced', guests.sweep(256, 128, 80), bandwidth_mib_s=50)
        times = [at_s for at_s, _ in found.points]
        self.assertEqual(sorted(times), times)
        self.assertEqual((0.0, 256.0), found.points[0])
        self.assertEqual((found.run.seconds, 0.0), found.points[-1])
        # Just before the guest stopped: what was left is what the blackout was spent on.
        stopped_s, left = found.points[-2]
        self.assertAlmostEqual(found.run.seconds - found.run.blackout_ms / 1000, stopped_s)
        overhead_s = precopy.Setup(guests.idle(1)).overhead_s
        self.assertAlmostEqual(
            left, (found.run.blackout_ms / 1000 - overhead_s) * 400, delta=0.5)
        self.assertTrue(all(0 <= mib <= 256 for _, mib in found.points))

    def test_a_rescaled_limit_alone_is_no_news(self):
        found = tried('balanced', guests.sweep(256, 128, 80), bandwidth_mib_s=50,
                      max_bandwidth_mib_s=100)
        self.assertEqual(['100 MiB/s'], [text for _, text in plot.labels(found)])

    def test_labels(self):
        load = guests.uniform(512, 256, 2000)
        for name, last in (('balanced', 'abort'), ('post_copy', 'post-copy'),
                           ('suspend_if_needed', 'pause')):
            self.assertEqual(last, plot.labels(tried(name, load))[-1][1])
        self.assertIn('no remedy is enough', [text for _, text in plot.labels(
            tried('balanced', load, on_stall='continue', timeout_seconds=30))])
