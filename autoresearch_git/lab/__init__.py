"""How one experiment is measured: a supervised process, a budget, and a parsed outcome."""
