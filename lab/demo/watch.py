# SPDX-License-Identifier: Apache-2.0
"""Fills tracks while migrations run: libvirt's statistics, the policy's journal, Nova's status.

It only looks, from outside, and equally at both servers.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import time
from typing import Any

import libvirt

from lab import client as lab_client
from lab.demo import track as track_mod

NO_JOB = libvirt.VIR_DOMAIN_JOB_NONE


class Watcher:
    """Follows one server's migration from host `connection` leads to.

    :param journals: the folder of the policy's journals on that host
    """

    def __init__(self, admin: lab_client.Client, track: track_mod.Track,
                 connection: libvirt.virConnect, journals: pathlib.Path) -> None:
        self.track = track
        self._admin = admin
        self._domain = connection.lookupByUUIDString(track.server_id)
        self._journals = journals
        self._journal: pathlib.Path | None = None
        self._read_bytes = 0
        self.migration_id = 0
        self._started_s = 0.0
        self._started_at = datetime.datetime.now(datetime.timezone.utc)

    def start(self, migration_id: int, started_s: float) -> None:
        """The migration was asked for at `started_s` (time.monotonic)."""
        self.migration_id = migration_id
        self._started_s = started_s
        self._started_at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(
            seconds=time.monotonic() - started_s)

    def look(self) -> None:
        """Add what is new."""
        found = self._admin.migration(self.track.server_id, self.migration_id)
        self._sample()
        self._read_journal(str(found['uuid']))
        if found['status'] in lab_client.FINAL and not self.track.over:
            self.track.total_s = round(time.monotonic() - self._started_s, 2)
        self.track.status = str(found['status'])

    def _sample(self) -> None:
        try:
            stats = self._domain.jobStats(0)
        except libvirt.libvirtError:
            return      # it has left this host
        if stats.get('type', NO_JOB) == NO_JOB:
            return
        point = track_mod.point(time.monotonic() - self._started_s, stats)
        self.track.points.append(point)
        self.track.sent_mib = max(self.track.sent_mib, point.sent_mib)

    def _read_journal(self, migration_uuid: str) -> None:
        path = self._journals / f'{migration_uuid}.jsonl'
        try:
            with open(path, encoding='utf-8') as lines:
                lines.seek(self._read_bytes)
                text = lines.read()
        except FileNotFoundError:
            return      # a server under Nova's own behaviour has none
        whole, _, _rest = text.rpartition('\n')
        self._read_bytes += len((whole + '\n').encode()) if whole else 0
        for line in whole.splitlines():
            self._take(json.loads(line))

    def _take(self, record: dict[str, Any]) -> None:
        if record['kind'] == 'decision':
            # The journal counts from its own start, which is later than the request.
            since = datetime.datetime.fromisoformat(record['time']) - self._started_at
            self.track.decisions.append(track_mod.Decided(
                at_s=round(since.total_seconds(), 2), rule=record['rule'], reason=record['reason'],
                actions=tuple(track_mod.describe(action) for action in record['actions'])))
        elif record['kind'] == 'sample':
            self.track.forecast = record.get('forecast') or {}
        elif record['kind'] == 'end' and record.get('memory_sent_bytes'):
            sent = record['memory_sent_bytes'] + record.get('disk_sent_bytes', 0)
            self.track.sent_mib = round(sent / track_mod.MIB, 1)
