# SPDX-License-Identifier: Apache-2.0
"""What this host has learnt of the link rate to each other host.

A small JSON file, host name to MiB/s, rewritten whole and atomically. How a
rate is estimated and merged is `engine.linkrate`'s; this keeps the result over
a restart. A file that cannot be read counts as nothing learnt.
"""

from __future__ import annotations

import os
import pathlib
import threading

from oslo_log import log as logging
from oslo_serialization import jsonutils

from nova_migpolicy.engine import linkrate

LOG = logging.getLogger(__name__)

# Hosts remembered; a cloud's cell is smaller than this.
MAX_HOSTS = 4096


class Links:
    """Learnt link rates in MiB/s by destination host."""

    def __init__(self, path: pathlib.Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._mib_s = _read(path) if path else {}

    def get(self, host: str) -> float | None:
        """The rate to `host`, taken low; None when nothing was learnt."""
        return self._mib_s.get(host)

    def learn(self, host: str, observed_mib_s: float) -> float:
        """Merge a new estimate; returns what holds from now on."""
        with self._lock:
            merged = linkrate.merge(self._mib_s.get(host), observed_mib_s) or observed_mib_s
            self._mib_s[host] = merged
            while len(self._mib_s) > MAX_HOSTS:
                del self._mib_s[next(iter(self._mib_s))]
            snapshot = dict(self._mib_s)
        if self._path:
            _write(self._path, snapshot)
        return merged


def _read(path: pathlib.Path) -> dict[str, float]:
    try:
        content = jsonutils.loads(path.read_text(encoding='utf-8'))
        return {str(host): float(rate) for host, rate in content.items() if float(rate) > 0}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        LOG.warning('Learnt link rates in %s are not used: %s', path, error)
        return {}


def _write(path: pathlib.Path, rates: dict[str, float]) -> None:
    # One name a thread: two migrations may end in the same moment.
    new = path.with_name(f'{path.name}.{threading.get_ident()}.new')
    try:
        new.write_text(jsonutils.dumps(rates), encoding='utf-8')
        os.replace(new, path)
    except OSError as error:
        LOG.warning('Learnt link rates were not kept in %s: %s', path, error)
