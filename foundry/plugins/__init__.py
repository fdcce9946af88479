"""What can be added: the API a plugin's author imports, the loader, the Foundry's own verbs and the standard library of tools."""
