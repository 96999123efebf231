"""From a call to a plan."""
