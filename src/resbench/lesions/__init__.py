"""Lesions: units deleted, exchanged and duplicated, a whole sweep of them at the cost of what differs between them."""
