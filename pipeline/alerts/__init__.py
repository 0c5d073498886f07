"""The alert service, its store and feed, and those who talk to it: publisher and client."""
