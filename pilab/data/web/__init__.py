"""The synthetic web: a small stand-in for what the internet teaches before a robot moves (π0.5, arXiv:2504.16054, §IV).

    lore ──► text        sentences, documents and questions about 66 nouns and more
      └────► questions ◄── pictures   rendered tables with all looks, the reserved ones too

Generated from code, seeded, and labelled synthetic wherever it is written. It may name, show and point at what is
reserved, which robot data may not; a test holds that. `WEB` counts what it is: a change of the text raises it.
"""

WEB = 1  # version of what is said; `pictures.VERSION` is that of what is shown
