# SPDX-License-Identifier: Apache-2.0
"""What a wheel installs: our packages, the name under which Nova loads us, the commands."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import testtools

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
#: any Nova that is a plain folder will do: the wheel is laid into a copy of it
OVERLAY = pathlib.Path(sys.prefix) / 'nova-33'
_LOAD = """
import nova.virt.migpolicy
from nova_migpolicy.compute import driver
assert nova.virt.migpolicy.LibvirtDriver is driver.LibvirtDriver
print(nova.virt.migpolicy.__file__)
print(driver.__file__)
"""


_INSTALLED = """
from importlib import metadata
names = {one.name for one in metadata.distributions()}
print(sorted(names & {'nova', 'libvirt-python', 'nova-migpolicy'}))
"""
COMMANDS = ('cancel', 'policy_pause', 'policy_post_copy', 'policy_progress', 'policy_retune',
            'policy_show', 'policy_timeline', 'start', 'watch')


class TestWheel(testtools.TestCase):

    def test_nova_finds_the_driver_of_a_wheel(self):
        if not OVERLAY.exists():
            self.skipTest('needs tools/setup nova33')
        folder = pathlib.Path(self.useFixtureFolder())
        wheel = self.wheel(folder)
        site = folder / 'site'
        shutil.copytree(OVERLAY, site, copy_function=os.link)
        self.call(sys.executable, '-m', 'zipfile', '-e', wheel, site)
        loaded = self.call(sys.executable, '-W', 'ignore', '-c', _LOAD, env={
            **os.environ, 'PYTHONPATH': str(site), 'OS_NOVA_DISABLE_EVENTLET_PATCHING': 'true'})
        self.assertEqual([str(site / 'nova/virt/migpolicy/__init__.py'),
                          str(site / 'nova_migpolicy/compute/driver.py')], loaded.splitlines())
        ours = {path.relative_to(ROOT) for path in (ROOT / 'nova_migpolicy').rglob('*.py')}
        self.assertEqual(set(), {path for path in ours if not (site / path).exists()})

    def test_the_commands_work_without_nova_and_without_libvirt(self):
        folder = pathlib.Path(self.useFixtureFolder())
        venv = folder / 'laptop'
        self.call(sys.executable, '-m', 'venv', '--without-pip', venv)
        self.call(sys.executable, '-m', 'uv', 'pip', 'install', '--quiet', '--python', venv,
                  '--constraints', ROOT / 'requirements/constraints.txt',
                  f'{self.wheel(folder)}[cli]', env={**os.environ, 'UV_SYSTEM_CERTS': '1'})
        self.assertEqual("['nova-migpolicy']\n", self.call(venv / 'bin/python', '-c', _INSTALLED))
        said = self.call(venv / 'bin/openstack', 'server', 'migration', 'watch', '--help')
        self.assertIn('Watch a live migration until it is over.', said)
        self.assertIn('openstack server migration watch db-1', said)
        completion = self.call(venv / 'bin/openstack', 'complete')
        for command in COMMANDS:
            self.assertIn(f'cmds_server_migration_{command}=', completion)

    def wheel(self, folder):
        self.call(sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps',
                  '--no-build-isolation', '--wheel-dir', folder, self.source(folder))
        wheel, = folder.glob('*.whl')
        return wheel

    def useFixtureFolder(self):
        # Beside the overlay: links do not cross file systems.
        folder = tempfile.TemporaryDirectory(dir=OVERLAY.parent)
        self.addCleanup(folder.cleanup)
        return folder.name

    def source(self, folder):
        """Return a copy of the sources: building leaves files beside them."""
        source = folder / 'source'
        source.mkdir()
        for name in ('nova_migpolicy', 'shim'):
            shutil.copytree(ROOT / name, source / name)
        for name in ('setup.py', 'setup.cfg', 'pyproject.toml', 'requirements.txt', 'README.rst',
                     'LICENSE'):
            shutil.copy(ROOT / name, source)
        return source

    def call(self, *argv, env=None):
        done = subprocess.run([str(word) for word in argv], capture_output=True, text=True,
                              env={**(env or os.environ), 'PBR_VERSION': '0.1.0'}, check=False,
                              cwd='/')
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout
