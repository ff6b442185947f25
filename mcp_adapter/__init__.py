"""What the outside sees: the ASGI application and the MCP tools."""
