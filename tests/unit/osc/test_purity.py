# SPDX-License-Identifier: Apache-2.0
"""The commands run on a laptop: without Nova, libvirt, or anything that only servers have."""

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
        if name.partition('.')[0] in sys.argv[1].split(','):
            raise ImportError(f'{name} has no place in the commands')
sys.meta_path.insert(0, Block())
for name in sys.argv[2:]:
    importlib.import_module(name)
"""
BLOCKED = ('nova', 'libvirt', 'libvirt_qemu', 'openstack', 'openstackclient', 'oslo_messaging',
           'oslo_policy', 'webob', 'paste', 'sqlalchemy', 'jsonschema')


class PurityTest(testtools.TestCase):

    def load(self, *names, blocked=BLOCKED):
        return subprocess.run([sys.executable, '-c', PROGRAM, ','.join(blocked), *names],
                              capture_output=True, text=True, check=False, cwd=ROOT)

    def test_every_module_loads(self):
        names = ['.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
                 for path in sorted((ROOT / 'nova_migpolicy/osc').rglob('*.py'))]
        self.assertGreater(len(names), 10)
        done = self.load(*names)
        self.assertEqual((0, ''), (done.returncode, done.stderr))

    def test_the_check_itself(self):
        self.assertIn('has no place', self.load('nova_migpolicy.compute.driver').stderr)

    def test_only_drawing_needs_rich(self):
        names = [f'nova_migpolicy.osc.{name}' for name in
                 ('show', 'change', 'cancel', 'watch', 'start')]
        self.assertEqual('', self.load(*names, blocked=('rich',)).stderr)
