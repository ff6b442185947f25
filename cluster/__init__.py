"""The driver's and the user's side: gateway, client, ingest, jobs, command line."""
