"""What every stage stands on: errors, workspace, fingerprints, call context, events, seeding."""
