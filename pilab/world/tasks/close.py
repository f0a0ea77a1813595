"""Close the drawer or the lid."""

from pilab.world.tasks._fixtures import Operate


class Close(Operate):
    name = verb = "close"
    wants_open = False
    templates = ("close {object}", "shut {object}", "push {object} shut", "please close {object}")
    held_out_templates = ("i want {object} closed", "get {object} shut for me", "could you close {object} now")


TASK = Close()
