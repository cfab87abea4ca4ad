# SPDX-License-Identifier: Apache-2.0
"""The command runs on a laptop: without Nova, oslo, libvirt, rich or matplotlib."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import testtools

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = """
import importlib, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        first = name.partition('.')[0]
        if first in sys.argv[1].split(',') or first.startswith('oslo'):
            raise ImportError(f'{name} has no place in the command')
sys.meta_path.insert(0, Block())
for name in sys.argv[3:]:
    importlib.import_module(name)
if sys.argv[2]:
    from nova_migpolicy.cmd import main
    sys.exit(main.main(sys.argv[2].split()))
"""
BLOCKED = ('nova', 'libvirt', 'libvirt_qemu', 'openstack', 'openstackclient', 'cliff', 'webob',
           'paste', 'sqlalchemy', 'jsonschema', 'rich', 'matplotlib')


class PurityTest(testtools.TestCase):

    def load(self, *names, run=''):
        return subprocess.run([sys.executable, '-c', PROGRAM, ','.join(BLOCKED), run, *names],
                              capture_output=True, text=True, check=False, cwd=ROOT)

    def test_every_module_loads(self):
        # nova-migpolicy-status reads nova.conf, as all such commands of OpenStack do.
        names = ['.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
                 for path in sorted((ROOT / 'nova_migpolicy/cmd').rglob('*.py'))
                 if path.stem != 'status']
        self.assertGreater(len(names), 10)
        done = self.load(*names)
        self.assertEqual((0, ''), (done.returncode, done.stderr))

    def test_the_check_itself(self):
        self.assertIn('has no place', self.load('nova_migpolicy.osc.watching.live').stderr)

    def test_it_runs_there(self):
        done = self.load(run='simulate --memory-mib 1024')
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        self.assertIn('balanced completes by itself', done.stdout)
