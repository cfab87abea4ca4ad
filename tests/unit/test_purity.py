# SPDX-License-Identifier: Apache-2.0
"""The pure rooms can be imported where there is no Nova, no oslo and no libvirt."""

import pathlib
import subprocess
import sys
import textwrap

import testtools

ROOT = pathlib.Path(__file__).parents[2]
ROOMS = ('policy', 'engine', 'sim', 'recovery', 'capacity')
BLOCKED = ('nova', 'oslo_config', 'oslo_log', 'oslo_utils', 'oslo_serialization', 'libvirt',
           'libvirt_qemu', 'eventlet', 'logging', 'threading', 'time', 'socket', 'subprocess')
# What only a library that a pure room may use brings along.
BROUGHT = {'policy': ('yaml', 'datetime')}

PROGRAM = """
    import importlib.abc
    import sys

    brought, blocked, modules = (set(argument.split()) for argument in sys.argv[1:])
    for name in brought:
        __import__(name)

    class Block(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name.partition('.')[0] in blocked:
                raise ImportError(f'{name} has no place in a pure room')

    for name in list(sys.modules):
        if name.partition('.')[0] in blocked:
            del sys.modules[name]
    sys.meta_path.insert(0, Block())
    for name in sorted(modules):
        __import__(name)
"""


class TestPurity(testtools.TestCase):

    def check(self, room, extra=''):
        names = {'nova_migpolicy.exception'}
        for path in sorted((ROOT / 'nova_migpolicy' / room).rglob('*.py')):
            parts = path.relative_to(ROOT).with_suffix('').parts
            names.add('.'.join(parts).removesuffix('.__init__'))
        self.assertGreater(len(names), 1, room)
        return subprocess.run(
            [sys.executable, '-S', '-c', textwrap.dedent(PROGRAM),
             ' '.join(BROUGHT.get(room, ())), ' '.join(BLOCKED), ' '.join(names) + extra],
            env={'PYTHONPATH': ':'.join([str(ROOT), *filter(None, sys.path)])},
            capture_output=True, text=True, check=False)

    def test_rooms(self):
        for room in ROOMS:
            done = self.check(room)
            self.assertEqual((0, ''), (done.returncode, done.stderr), room)

    def test_the_check_itself(self):
        done = self.check('policy', ' nova_migpolicy.conf')
        self.assertIn('oslo_config has no place in a pure room', done.stderr)
