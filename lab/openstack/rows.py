# SPDX-License-Identifier: Apache-2.0
"""What Nova's database has of servers and migrations, read past Nova.

An answer of Nova's API costs a busy machine a tenth of a second, a row next to nothing. So who
waits looks here until the API is worth asking. It is the API's answer that counts.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import pymysql

from lab.openstack import layout
from lab.openstack import network

#: where Nova keeps servers: in its cell, or here if no host was found for them
_CELLS = ('nova_cell1', 'nova_cell1_cell0')
_TIMEOUT_S = 5


class Server(NamedTuple):
    """A row of `instances`."""

    vm_state: str | None
    task_state: str | None
    is_deleted: bool


class Rows:
    """Reads rows; None is returned where there is none, or where the database does not answer.

    :param pid: a process in the controller's network
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._of_thread = threading.local()

    def server(self, uuid: str) -> Server | None:
        """Return what there is of a server, also of a deleted one."""
        for cell in _CELLS:
            found = self._one(f'SELECT vm_state, task_state, deleted FROM {cell}.instances '
                              'WHERE uuid = %s', uuid)
            if found:
                return Server(found[0], found[1], bool(found[2]))
        return None

    def migration(self, number: int) -> str | None:
        """Return the status of a migration."""
        found = self._one(f'SELECT status FROM {_CELLS[0]}.migrations WHERE id = %s', number)
        return str(found[0]) if found else None

    def newest_migration(self, server: str) -> int | None:
        """Return the number of a server's newest migration, 0 if it has none."""
        found = self._one(f'SELECT MAX(id) FROM {_CELLS[0]}.migrations WHERE instance_uuid = %s',
                          server)
        return int(found[0] or 0) if found else None

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        try:
            with self._connection().cursor() as cursor:
                cursor.execute(query, values)
                found: tuple[Any, ...] | None = cursor.fetchone()
                return found
        except (pymysql.err.MySQLError, OSError):
            self._of_thread.connection = None
            return None

    def _connection(self) -> pymysql.Connection:
        found: pymysql.Connection | None = getattr(self._of_thread, 'connection', None)
        if found is None:
            with network.entered(self._pid):
                found = self._of_thread.connection = pymysql.connect(
                    host=layout.CONTROLLER, user=layout.DATABASE_USER,
                    password=layout.DATABASE_PASSWORD, autocommit=True,
                    connect_timeout=_TIMEOUT_S, read_timeout=_TIMEOUT_S)
        return found
