"""The release controller: reads the desired state and moves the fleet towards it step by step."""
