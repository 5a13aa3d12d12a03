"""Pages for people: self-contained, printable HTML files without scripts, from templates with one stylesheet."""
