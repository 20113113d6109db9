"""The faces of airtriage: the command line and the web pages."""
