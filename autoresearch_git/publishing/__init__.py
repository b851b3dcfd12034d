"""What we give back: the picture, the paper, and the pull request with its Discussion."""
