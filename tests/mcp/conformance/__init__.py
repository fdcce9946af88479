"""The public conformance suite of MCP against our client and our server: see test_conformance.py."""
