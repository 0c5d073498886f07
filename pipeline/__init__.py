"""From camera frames to alerts: the stages, their records and the program."""
