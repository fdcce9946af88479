"""Tools that come with Foundry, one plugin a file, named in loader.BUILT_INS; they import plugins/api and their own library."""
