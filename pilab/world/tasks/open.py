"""Open the drawer or the lid."""

from pilab.world.tasks._fixtures import Operate


class Open(Operate):
    name = verb = "open"
    wants_open = True
    templates = ("open {object}", "pull {object} open", "open up {object}", "please open {object}")
    held_out_templates = ("i want {object} open", "get {object} open for me", "could you open {object} now")


TASK = Open()
