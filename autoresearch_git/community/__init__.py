"""What others found: read from hubs, kept in a local library, believed as far as it can be checked."""
