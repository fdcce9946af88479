"""Tools that come with Foundry, one plugin a file, named in built_ins.py; they import plugins/api and their own library."""
