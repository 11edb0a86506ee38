"""Commands for a release: lowest versions, licences and a bill of materials, and distributions that are compared."""
