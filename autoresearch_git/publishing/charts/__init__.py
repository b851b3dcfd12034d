"""The progress picture: every experiment a dot, in a file or in letters. `picture` alone draws with matplotlib."""
