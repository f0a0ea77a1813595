"""Open the drawer or the lid."""

from pilab.world.tasks._fixtures import Operate


class Open(Operate):
    name = verb = "open"
    wants_open = True
    templates = ("open {object}", "pull {object} open", "open up {object}", "please open {object}")
    paraphrases = (
        "could you open {object} for me",
        "i would like {object} open",
        "can you get {object} open",
        "would you mind opening {object}",
        "{object} needs to be opened",
        "go ahead and open {object}",
        "hey robot open {object} will you",
        "make sure {object} is open",
        "i need you to open {object} all the way",
        "{object} has to be open so get it open now",
        "{object} is shut so please open it",
        "let me see what is inside by opening {object}",
        "get hold of {object} and pull until it is open",
        "do not leave {object} closed",
        "um so {object} should be wide open now",
        "how about opening {object} up",
    )
    held_out_templates = ("i want {object} open", "get {object} open for me", "could you open {object} now")


TASK = Open()
