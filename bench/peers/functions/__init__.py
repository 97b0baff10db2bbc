"""What Nexus runs in this bench."""
