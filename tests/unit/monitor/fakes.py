# SPDX-License-Identifier: Apache-2.0
"""A domain whose calls can be made to fail in ways that a real libvirt cannot be asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import libvirt

RUNNING = (libvirt.VIR_DOMAIN_RUNNING, 0)


def error(code: int, text: str = 'refused') -> libvirt.libvirtError:
    """A libvirtError that carries `code`."""
    made = libvirt.libvirtError(text)
    made.err = (code, 0, text, 2, '', '', '', 0, 0)
    return made


class Clock:
    """A clock that stands still until told."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Domain:
    """Answers each call from a script: a value, an exception, or a list of them in turn."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            'jobStats': {'type': libvirt.VIR_DOMAIN_JOB_NONE}, 'state': RUNNING, **answers}
        self.calls: list[tuple[Any, ...]] = []
        self.found = 0

    def __call__(self) -> Domain:
        """Be found; as a look-up of the domain it counts the looks."""
        self.found += 1
        return self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.calls.append((name, *args))
            answer = self.answers.get(name)
            if isinstance(answer, list):
                answer = answer.pop(0) if len(answer) > 1 else answer[0]
            if callable(answer):
                answer = answer()
            if isinstance(answer, Exception):
                raise answer
            return answer
        return call

    def called(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of that name."""
        return [call[1:] for call in self.calls if call[0] == name]
