# SPDX-License-Identifier: Apache-2.0
"""What can be known of a migration that nobody watches, from both libvirts, Nova and our record.

"Does not answer" is a value of its own everywhere, and never taken for "absent".
"""

from __future__ import annotations

import dataclasses
import enum


class Source(enum.Enum):
    """The domain on the source."""

    RUNNING = 'runs'
    #: by its user, for the migration, or for the switchover
    PAUSED = 'is paused'
    #: paused, while the guest runs on the destination
    POST_COPY = 'is in post-copy'
    POST_COPY_FAILED = 'broke off in post-copy'
    #: libvirt says that it left
    MIGRATED = 'is shut off after its migration'
    SHUT_OFF = 'is shut off'
    ABSENT = 'is absent'
    SILENT = 'is not known, libvirt there does not answer'


class Destination(enum.Enum):
    """The domain on the destination."""

    #: has arrived, whether it runs or is paused by its user
    ARRIVED = 'has arrived'
    #: QEMU there waits for the guest
    INCOMING = 'is awaited'
    POST_COPY = 'is in post-copy'
    POST_COPY_FAILED = 'broke off in post-copy'
    #: arrived, and was shut off since
    SHUT_OFF = 'is shut off'
    ABSENT = 'is absent'
    SILENT = 'is not known, the host does not answer'


class Written(enum.Enum):
    """How far the migration had come, by our record on the source."""

    #: nothing has been sent
    PREPARING = 'preparing'
    COPYING = 'copying'
    POST_COPY = 'post-copy'
    #: the guest has arrived, and Nova is being told
    FINISHING = 'finishing'
    #: the guest has stayed, and the destination is being cleared
    ROLLING_BACK = 'rolling back'
    #: all is done, and only the record is left
    DONE = 'done'
    #: there is none that can be read, or it was made again from Nova's records alone
    LOST = 'lost'


class Home(enum.Enum):
    """The server's host by Nova's database."""

    SOURCE = 'source'
    DESTINATION = 'destination'
    #: rebuilt elsewhere in the meantime
    OTHER = 'another host'
    #: Nova is evacuating, moving or deleting it, so that it may run elsewhere already
    CHANGING = 'changing'
    #: the server was deleted
    NONE = 'none'
    #: the database does not answer
    SILENT = 'not known'


class Status(enum.Enum):
    """Nova's record of the migration."""

    #: accepted or queued: no host has done anything for it yet
    QUEUED = 'queued'
    UNDER_WAY = 'under way'
    COMPLETED = 'completed'
    #: failed or cancelled, which Nova says last of all
    ENDED = 'ended'
    #: an error: Nova has given it up somewhere, and may have left anything
    GIVEN_UP = 'given up'
    MISSING = 'missing'


@dataclasses.dataclass(frozen=True)
class Evidence:
    """All of it, as of one look.

    job: libvirt on the source has a job of this migration. migrating: Nova's task state of the
    server is `migrating`. was_paused: the server's user had paused it before. fenced: an operator
    says that the source is off, as who evacuates does, and nothing there answers, not even
    nova-compute. is_superseded: Nova has a newer live migration of the server under way.
    is_evacuated: the server has been evacuated from the source since, and the host where Nova has
    it says that it runs there.
    """

    source: Source
    job: bool
    destination: Destination
    written: Written
    home: Home
    status: Status
    migrating: bool
    was_paused: bool = False
    fenced: bool = False
    is_superseded: bool = False
    is_evacuated: bool = False

    def to_dict(self) -> dict[str, str | bool]:
        """Return what was seen of both hosts and Nova, in words, to be kept and shown."""
        return {'source': self.source.value, 'job': self.job,
                'destination': self.destination.value, 'home': self.home.value,
                'status': self.status.value, 'migrating': self.migrating}

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do by Nova's records."""
        return self.status not in (Status.QUEUED, Status.UNDER_WAY) and not self.migrating
