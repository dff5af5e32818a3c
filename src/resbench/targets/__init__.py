"""The user's own network as the thing that claims are judged on."""
