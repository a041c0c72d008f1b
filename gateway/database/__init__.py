"""The SQL database that stages keep their records in."""
