# SPDX-License-Identifier: Apache-2.0
"""The monitor's CPU beside a poll of each half second."""
