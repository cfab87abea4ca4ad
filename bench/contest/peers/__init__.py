# SPDX-License-Identifier: Apache-2.0
"""The rule sets that an operator would use instead of ours, written from what is published.

Each is an engine (`bench.contest.engines`) and is held to the permissions of the task's policy as
`base` says. Facts and constants of each are in its module, with their sources; nothing is copied.
"""

from __future__ import annotations

from collections import abc
import types

from bench.contest import engines
from bench.contest.peers import kubevirt
from bench.contest.peers import kubevirt_stall
from bench.contest.peers import nova
from bench.contest.peers import vdsm

PEERS: abc.Mapping[str, engines.Engine] = types.MappingProxyType({
    'nova': nova.stock,
    'nova_force': nova.force,
    'vdsm_minimal': vdsm.minimal,
    'vdsm_suspend': vdsm.suspend,
    'vdsm_postcopy': vdsm.post_copy,
    'vdsm_very_large': vdsm.very_large,
    'kubevirt': kubevirt.stock,
    'kubevirt_stall': kubevirt_stall.stock,
    'kubevirt_ramp': kubevirt.ramp,
})
