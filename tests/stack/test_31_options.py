# SPDX-License-Identifier: Apache-2.0
"""Nova's own options with odd values in a running Nova 31, the oldest supported."""

from __future__ import annotations

from tests.stack.support import odd_options
from tests.stack.support import steering


class TestOptions(odd_options.OddOptionsTests, steering.SteeringTest):
    """Nova 31, which has none for connections and for the interval."""

    nova = '31'
