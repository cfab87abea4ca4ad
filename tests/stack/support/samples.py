# SPDX-License-Identifier: Apache-2.0
"""The examples in the docs are real answers: each has the form of what is answered here.

With MIGPOLICY_WRITE_SAMPLES=1 in the environment the answers are written to doc/source/samples
instead of being compared with what is there. The requests are read from there as well.
"""

from __future__ import annotations

import json
import os
import pathlib

from tests.stack.support import steering

SAMPLES = pathlib.Path(__file__).parents[3] / 'doc/source/samples'
WRITE = os.environ.get('MIGPOLICY_WRITE_SAMPLES') == '1'
# What is in these depends on what is known, or was done.
OPEN = ('forecast', 'actions')


def differences(sample, real, where):
    """Where two answers differ in form; None stands for any value."""
    if sample is None or real is None:
        return
    numbers = (int, float)
    if isinstance(sample, dict) and isinstance(real, dict):
        for name in sorted(set(sample) ^ set(real)):
            yield f'{where}.{name} is in {"the sample" if name in sample else "the answer"} alone'
        for name in (set(sample) & set(real)).difference(OPEN):
            yield from differences(sample[name], real[name], f'{where}.{name}')
    elif isinstance(sample, list) and isinstance(real, list):
        if sample and real:
            yield from differences(sample[0], real[0], f'{where}[0]')
    elif type(sample) is not type(real) and not (
            type(sample) in numbers and type(real) in numbers):
        yield f'{where}: {sample!r} and {real!r}'


class Sampled(steering.SteeringTest):
    """Compares answers with the samples of the docs."""

    def request(self, name):
        return json.loads((SAMPLES / f'{name}-req.json').read_text())

    def check_sample(self, name, method, path, code, body=None):
        """Send it; its answer has the form of a sample."""
        answer = self.admin.answer(method, path, **({} if body is None else {'json': body}))
        self.assertEqual(code, answer.status_code, answer.text)
        real, sample = answer.json(), SAMPLES / f'{name}-resp.json'
        if WRITE:
            sample.write_text(json.dumps(real, indent=4) + '\n')
        wrong = list(differences(json.loads(sample.read_text()), real, name))
        self.assertEqual([], wrong, '\n'.join(wrong))
        return real
