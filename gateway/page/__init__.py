"""Pages for people: files that are whole, load nothing and run nothing.

`markup` makes elements, in which every text is escaped; `parts` are made of them; `document` is the
file around them.
"""
