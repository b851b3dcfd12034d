"""How experiments are remembered: in git, and nowhere else."""
