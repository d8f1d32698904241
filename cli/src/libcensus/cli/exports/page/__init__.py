"""One self-contained page for people who have no Grafana at hand: a fleet, or a host, in tables and plots.

It asks the collector what the commands' tables ask, so that they cannot disagree. Markup is made by functions and not
by a template: whatever is not marked as markup is escaped, and the plots are worked out in Python anyway. The page has
no script and loads nothing, which its own policy enforces.
"""
