"""How the agent thinks: models, tools, recall and checks."""
