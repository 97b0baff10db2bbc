"""Nexus beside other Python queues: the same work, the same Redis and Postgres, one worker each."""
