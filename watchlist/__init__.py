"""The watchlist: what a legal plate is, what an entry must say, and the list in Redis."""
