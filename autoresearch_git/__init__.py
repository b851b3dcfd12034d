"""`git autoresearch`: experiments as branches, findings as papers, on plain git and plain GitHub."""

__version__ = "0.1.0"
