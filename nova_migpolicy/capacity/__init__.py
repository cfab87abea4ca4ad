# SPDX-License-Identifier: Apache-2.0
"""How much at once: the slots of two hosts, and the queue for them; pure."""
