"""German for what is said on this table, word by word: what a robot that was taught in English has never heard.

No grammar, as of a traveller with a pocket dictionary; umlauts are written out, so that nothing but the words is strange.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_WORDS = """
against gegen | and und | at auf | be sein | below unter | belongs gehoert | beside neben | bring bringe | but aber | by durch
can kannst | carry trage | clean sauber | close schliesse | closed geschlossen | could koenntest | do tue | down hinunter
drop lass | everything alles | fill fuelle | for fuer | from von | get hole | gently sanft | go geh | goes kommt | grab greife
hand hand | has hat | hold halte | i ich | in in | insert stecke | into hinein | is ist | it es | its sein | leave lasse
lift hebe | lifting heben | like gern | look schau | make mache | me mir | move bewege | my mein | next naechst | not nicht
now jetzt | nudge stupse | off ab | on auf | onto auf | open oeffne | out heraus | over ueber | pick nimm | place stelle
please bitte | point zeige | pull ziehe | push schiebe | pushing schieben | put lege | rest ruhen | rub reibe | set setze
should soll | shove stosse | show zeig | shut zu | slide gleite | softly leise | stack staple | stains flecken | take nimm
the der | then dann | there dort | things dinge | to zu | together zusammen | touch beruehre | towards hin | up auf | want will
where wo | wipe wische | with mit | without ohne | would wuerde | you du | your dein
apple apfel | banana banane | barbell hantel | board tafel | bone knochen | book buch | box kiste | button knopf | candle kerze
car auto | carrot karotte | cheese kaese | clamp zwinge | clover klee | coaster untersetzer | crayon malstift | cucumber gurke
cup tasse | duck ente | egg ei | eraser radiergummi | fork gabel | hammer hammer | kiwi kiwi | lime limette | marble murmel
peach pfirsich | pliers zange | plug stecker | plum pflaume | propeller propeller | puck puck | shell schale | soap seife
socket buchse | spanner schluessel | spinner kreisel | sponge schwamm | spoon loeffel | stapler hefter | star stern
tape klebeband | valve ventil | wallet boerse | whisk schneebesen | wrench schraubenschluessel | yoyo jojo
plate teller | tray tablett | bowl schuessel | basket korb | drawer schublade | lid deckel
red rot | orange orange | yellow gelb | green gruen | blue blau | purple lila | white weiss | black schwarz
ball ball | disc scheibe | bar stab | brick ziegel | cross kreuz | wye stern | dumbbell hantel
"""
GERMAN: Mapping[str, str] = dict(cell.split() for cell in re.split(r"\||\n", _WORDS.strip()))


def translated(word: str) -> str:
    """The word in German, or as it is where the dictionary does not have it."""
    return GERMAN.get(word, word)
