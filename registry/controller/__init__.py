"""The release controller: reads desired state, moves the fleet, one step at a time."""
