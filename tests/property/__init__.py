# SPDX-License-Identifier: Apache-2.0
"""Properties of the engine, checked over the model of pre-copy."""
