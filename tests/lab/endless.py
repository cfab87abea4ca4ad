# SPDX-License-Identifier: Apache-2.0
"""Tests that have hosts up and do not end, or die; for the tests of what then happens."""

from __future__ import annotations

import os
import pathlib
import signal
import threading

from tests import ending
from tests.lab import base
from tests import telling

#: names the file in which one that dies says where its hosts are
WORK = 'MIGPOLICY_TEST_WORK'


class Endless(base.HostsTest):

    def test_nothing(self):
        telling.say(str(self.lab.work))
        threading.Event().wait()


class Dies(base.HostsTest):

    def test_nothing(self):
        pathlib.Path(os.environ[WORK]).write_text(str(self.lab.work))
        os.kill(os.getpid(), signal.SIGKILL)


class CannotGo(base.HostsTest):

    def test_nothing(self):
        ending.at_end(self.fail, 'it stays up')
