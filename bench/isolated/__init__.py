"""The same handler as a task, in a warm process, and in a fresh one."""
