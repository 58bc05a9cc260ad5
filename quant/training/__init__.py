# SPDX-License-Identifier: Apache-2.0
"""Training: the recipe, the run and its state, the curve."""
