"""The claims as pytest items; ``pytest --pyargs resbench -m claims`` runs them from anywhere."""
