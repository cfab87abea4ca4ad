# SPDX-License-Identifier: Apache-2.0
"""A test that has hosts up and does not end; for the tests of what then happens."""

from __future__ import annotations

import threading

from tests.lab import base
from tests import telling


class Endless(base.HostsTest):

    def test_nothing(self):
        telling.say(str(self.lab.work))
        threading.Event().wait()
