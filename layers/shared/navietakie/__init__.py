"""What the four functions of NavieTakie share: the conversation's rules, its tables, the broadcast and the doors."""

import gc

from navietakie import settings

if settings.initialization():
    gc.disable()  # while modules are loaded there is nothing to collect; `warm.ready` switches it on again
