# SPDX-License-Identifier: Apache-2.0
"""SIGHUP reaches a service that is run as nova-compute runs its own, with native threads."""

import os
import signal
import subprocess
import sys
import textwrap

import fixtures
import testtools

PROGRAM = """
    import sys

    from oslo_service import backend
    backend.init_backend(backend.BackendType.THREADING)
    from oslo_config import cfg
    from oslo_service import service

    from nova_migpolicy.compute import sighup

    CONF = cfg.ConfigOpts()
    CONF.register_opt(cfg.IntOpt('speed', default=1, mutable=True))
    CONF(['--config-file', sys.argv[1]], project='p')
    install = sys.argv[2] == 'yes'

    def say(*words):
        print(*words, flush=True)

    class Service(service.Service):
        def start(self):
            installed = install and sighup.install(CONF, lambda: say('reset', CONF.speed))
            say('ready', bool(installed))

        def wait(self):
            import threading
            threading.Event().wait()

    service.launch(CONF, Service(), restart_method='mutate', no_fork=True).wait()
"""


class TestSighup(testtools.TestCase):

    def start(self, install):
        self.path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'p.conf')
        self.write(5)
        env = {name: value for name, value in os.environ.items()
               if not name.startswith('OS_NOVA')}
        process = subprocess.Popen(
            [sys.executable, '-c', textwrap.dedent(PROGRAM), self.path, install],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def write(self, speed):
        with open(self.path, 'w', encoding='utf-8') as stream:
            stream.write(f'[DEFAULT]\nspeed = {speed}\n')

    def test_reload_as_often_as_it_is_told(self):
        process = self.start('yes')
        self.assertEqual('ready True\n', process.stdout.readline())
        for speed in (7, 9):
            self.write(speed)
            process.send_signal(signal.SIGHUP)
            self.assertEqual(f'reset {speed}\n', process.stdout.readline())

    def test_without_it_the_process_ends(self):
        process = self.start('no')
        self.assertEqual('ready False\n', process.stdout.readline())
        process.send_signal(signal.SIGHUP)
        self.assertEqual('', process.stdout.readline())
        self.assertNotEqual(0, process.wait())
