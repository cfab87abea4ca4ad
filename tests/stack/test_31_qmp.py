# SPDX-License-Identifier: Apache-2.0
"""What goes to QEMU's monitor, on Nova 31 under eventlet."""

from __future__ import annotations

from tests.stack.support import qmp
from tests.stack.support import steering


class QmpTest(qmp.QmpTests, steering.SteeringTest):
    nova = '31'
