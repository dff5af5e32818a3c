"""``resbench init``: what a repository is, which network it has, and the files that judge it."""
