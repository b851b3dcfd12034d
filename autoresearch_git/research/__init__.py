"""The keep-or-discard loop: who proposes, who decides, and how noisy the metric is."""
