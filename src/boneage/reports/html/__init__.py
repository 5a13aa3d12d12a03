"""Pages for people: one folder with an index and one page a radiograph."""
