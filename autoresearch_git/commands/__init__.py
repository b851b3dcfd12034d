"""One file per command: parse the options, wire the real parts, print. No logic lives here."""
