"""The console: a web page on which people see alerts, decide, and look after a checkpoint.

``server.py`` runs it in a thread of its own; ``app.py`` lists its routes; ``context.py`` is what
every route module works with. The alert service remains the one authority on alerts: the console
calls it over gRPC as the person who is logged in.
"""
