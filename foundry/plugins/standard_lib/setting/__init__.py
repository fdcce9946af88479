"""A typesetter: Markdown to the pages of a document, in any script, with what its text can be trusted with and nothing more.

The way through it: `markdown` makes tokens and spans, `blocks` items of a column (with `table` and `images`), `pages` breaks the
column, `draw` paints it. `text` sets lines (`bidi` says in which direction, `fonts` shapes them and puts into the file what was
used, `system_fonts` finds what the bundled fonts lack). Its one door is `pdf_writer`, in a process of its own.
"""
