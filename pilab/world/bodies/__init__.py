"""One file per body. A body is an `Embodiment` called BODY and, where it is not a serial arm, a builder of its own."""
