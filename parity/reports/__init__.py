"""A report as text, HTML, Markdown and JUnit properties, one file each."""
