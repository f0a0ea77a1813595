"""Close the drawer or the lid."""

from pilab.world.tasks._fixtures import Operate


class Close(Operate):
    name = verb = "close"
    wants_open = False
    templates = ("close {object}", "shut {object}", "push {object} shut", "please close {object}")
    paraphrases = (
        "could you shut {object} for me",
        "i would like {object} closed",
        "can you get {object} shut",
        "would you mind closing {object}",
        "{object} needs to be closed",
        "go ahead and shut {object} please",
        "push {object} closed",
        "make sure {object} is shut",
        "hey robot close {object} will you",
        "i need you to close {object} completely",
        "{object} is open so please shut it",
        "do not leave {object} open",
        "{object} has to be shut so get it closed now",
        "okay now just press {object} until it is fully shut",
        "{object} should not stay open so close it up",
        "how about closing {object} again",
        "return {object} to its closed position",
    )
    held_out_templates = ("i want {object} closed", "get {object} shut for me", "could you close {object} now")


TASK = Close()
