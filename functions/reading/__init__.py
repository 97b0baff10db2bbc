"""Reading files that shops give: documents and catalogues."""
