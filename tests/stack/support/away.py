# SPDX-License-Identifier: Apache-2.0
"""Takes parts of a cloud's controller away for a while: database, conductor, message bus."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from lab import client as lab_client
from lab.openstack import databases
from lab.openstack import services

# How long it is away: the fault itself, and not a wait for something.
AWAY_S = 30.0


class Away:
    """For tests of a stack."""

    @contextlib.contextmanager
    def away(self, what, away_s=AWAY_S):
        """Take a part of the cloud away, before what was stopped goes on, for a while."""
        stop, start = getattr(self, f'stop_{what}'), getattr(self, f'start_{what}')
        stop()
        try:
            yield
            time.sleep(away_s)
        finally:
            start()

    def stop_database(self):
        databases.stop(self.stack.services)

    def start_database(self):
        databases.start(self.stack.services)

    def stop_conductor(self):
        self.kill_all('nova-conductor')

    def start_conductor(self):
        with self.said_again('nova-conductor', 'nova-conductor.log', 'Starting conductor node'):
            self.stack.services.nova(self.stack.hosts.ctl, 'nova-conductor', 'conductor')

    def stop_rabbitmq(self):
        self.kill_all('beam.smp')

    def start_rabbitmq(self):
        with self.said_again('rabbitmq', 'rabbitmq.out', 'Starting broker... completed'):
            self.stack.services.rabbitmq()

    @contextlib.contextmanager
    def said_again(self, name, log, text):
        """Wait until a program that is started in the block has said something once more."""
        path = self.stack.where.log / log
        before = path.read_text(errors='replace').count(text)
        yield
        self.stack.services.wait(
            name, lambda: path.read_text(errors='replace').count(text) > before)

    def kill_all(self, program):
        """Kill a program of the controller."""
        node = self.stack.hosts.ctl
        found = services.find_all(node, program)
        self.assertTrue(found, f'{program} does not run')
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        lab_client.wait(lambda: services.find_all(node, program), lambda pids: not pids, 10.0,
                        f'{program} to end')
