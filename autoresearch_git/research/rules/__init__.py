"""The rules of the integrity lint: each reads one editable file and tells where it is broken."""
