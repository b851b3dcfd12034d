"""A stand-in for GitHub on 127.0.0.1, for real clients: PyGithub, git, anything that speaks HTTP.

What a test against it proves:

- Shapes. GraphQL is executed against GitHub's own schema (tests/data/github.graphql), strictly built, every query
  validated; a field that nobody gave data for is an error and never null, an unknown route is 501.
- git. Repositories are real and bare, served by `git http-backend`: what is pushed, refused, fetched or rewritten here
  is what git does.

What it cannot prove: that GitHub behaves so. Who may do what, limits, costs, orders and error texts are our reading of
GitHub's documentation. Beyond that it knows no merge button, no refs/pull/N/merge, no reactions, no search, no
GitHub Apps. That GitHub itself accepts us takes one run against GitHub itself.

    with GitHub(tmp_path / "github") as hub:
        ada = hub.user("ada", token="t-ada")
        repo = hub.repository("karpathy/autoresearch", discussions=True)
        repo.fill(pulls=1000, discussions=1000)
        Github(base_url=hub.api_url, auth=Auth.Token("t-ada"))
        hub.fail("502", times=2, after=3)
        hub.fail_at(4, "reset-after")
"""

from github_standin.hub import GitHub

__all__ = ["GitHub"]
