"""What of resbench holds for the networks that people really use: a table over the architectures of whole libraries."""
