"""What others found: where it is read from, with which rights, and what can be believed of it."""
