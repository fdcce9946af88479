"""What an agent is, on disk: definition, folder, blueprints, environment, secrets, locks. Runs nothing of an agent's."""
